import type { RedisOptions } from "ioredis";

/** From the first packet to an open socket; a host that drops packets would otherwise hold an attempt for two minutes. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Longest wait for one answer. Nothing that serves a peer may hang on the store, and every caller has an answer without it. */
const COMMAND_TIMEOUT_MS = 2_000;

/** Longest wait for one answer of a Sentinel; a request may be waiting behind all of them. */
const SENTINEL_TIMEOUT_MS = 1_000;

/** A server that owes an answer and sends nothing for so long is taken for frozen, and the connection is cut and retried. */
const SILENCE_TIMEOUT_MS = 2_000;

/** Longest pause between two attempts: what a server that is back waits at most to be noticed. */
const MAX_RECONNECT_DELAY_MS = 1_000;

/** How long a socket may take to close in order before it is destroyed; a frozen server never answers the FIN. */
const DISCONNECT_TIMEOUT_MS = 200;

/** What every connection to a server is opened with, alone or as part of a Cluster. */
export function serverOptions(connectionName: string): RedisOptions & { replyMapping: "legacy" } {
  return {
    replyMapping: "legacy",
    connectionName,
    disableClientInfo: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    // A frozen Sentinel accepts connections: the next one is asked only when this one has failed.
    sentinelCommandTimeout: SENTINEL_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    // A server that still loads its files is asked again soon, not after its own estimate in whole seconds.
    maxLoadingRetryTime: 100,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // 0 rejects the commands in flight as soon as their connection is gone instead of at their timeout.
    maxRetriesPerRequest: 0,
  };
}

/** Half of the delay is random, so that many processes do not come back to a restarted server in one instant. */
export function reconnectDelayMs(attempt: number): number {
  const longest = Math.min(MAX_RECONNECT_DELAY_MS, 50 * 2 ** Math.min(attempt - 1, 10));
  return longest / 2 + Math.random() * (longest / 2);
}
