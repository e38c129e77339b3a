import type { Case } from "../case.ts";
import { addedLatency } from "./added-latency.ts";
import { chainLatency } from "./chain-latency.ts";
import { eventStreams } from "./event-streams.ts";
import { fullHandshakes, resumedHandshakes } from "./handshakes.ts";
import { idleConnections } from "./idle-connections.ts";
import { instanceStart } from "./instance-start.ts";
import { newConnections } from "./new-connections.ts";
import { pairs } from "./pairs.ts";
import { splice, spliceUpload } from "./splice.ts";
import { tlsDownload, tlsUpload } from "./tls-bulk.ts";
import { seenTokens, unseenTokens } from "./token-requests.ts";
import { twoProcesses } from "./two-processes.ts";

/** Every case, in the order of the report. */
export const CASES: readonly Case[] = [
  splice,
  spliceUpload,
  pairs,
  newConnections,
  twoProcesses,
  idleConnections,
  addedLatency,
  seenTokens,
  unseenTokens,
  chainLatency,
  fullHandshakes,
  resumedHandshakes,
  tlsDownload,
  tlsUpload,
  eventStreams,
  instanceStart,
];
