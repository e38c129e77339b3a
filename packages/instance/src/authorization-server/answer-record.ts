import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { AccessRecord, PEER_LEFT_STATUS, type Who } from "../access-log.ts";
import type { HostContext } from "./endpoints.ts";
import { traceOf } from "./request-trace.ts";

/** What the record of a request says of its answer, beside the status. */
export interface AnswerNote {
  /** A word of ours or of the protocol, with its clause; never what the request said. */
  readonly reason?: string | undefined;
  readonly who?: Who | undefined;
}

/** By the answer itself: whoever makes one knows why, whoever records it does not. */
const notes = new WeakMap<Response, AnswerNote>();

/** Returns the answer, with what its record shall say of it. */
export function noted(response: Response, note: AnswerNote): Response {
  notes.set(response, { ...notes.get(response), ...note });
  return response;
}

/** Writes the one record of a request that the authorization server answered. */
export function recordAnswer(
  c: HostContext,
  response: Response,
  { log, hostname }: { readonly log: RecordLog; readonly hostname: Hostname },
): void {
  const { env, req } = c;
  const { reason, who } = notes.get(response) ?? {};
  const access = new AccessRecord(log, {
    hostname,
    method: req.method,
    target: req.path,
    context: env.context,
  });
  access.traceId = traceOf(c).trace_id;
  access.status = response.status;
  access.reason = reason;
  if (who !== undefined) access.isFor(who);
  access.endedBy = response.status === PEER_LEFT_STATUS ? "peer" : "gateway";
  access.ended();
}

/** Stands for the answer to a peer that left in the middle of its request; nobody gets it. */
export function peerLeft(): Response {
  return noted(new Response(null, { status: PEER_LEFT_STATUS }), { reason: "aborted_by_peer" });
}
