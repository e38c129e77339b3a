import { once } from "node:events";
import { Redis } from "ioredis";
import { parseRedisUrl, REDIS_URL_FORMS } from "./redis-url.ts";

/** From the first packet to an open socket; a host that drops packets would otherwise hold an attempt for two minutes. */
const CONNECT_TIMEOUT_MS = 5_000;

/** Longest wait for one answer. Nothing that serves a peer may hang on the store, and every caller has an answer without it. */
const COMMAND_TIMEOUT_MS = 2_000;

/** A server that owes an answer and sends nothing for so long is taken for frozen, and the connection is cut and retried. */
const SILENCE_TIMEOUT_MS = 2_000;

/** Longest pause between two attempts: what a server that is back waits at most to be noticed. */
const MAX_RECONNECT_DELAY_MS = 1_000;

/** How long a socket may take to close in order before it is destroyed; a frozen server never answers the FIN. */
const DISCONNECT_TIMEOUT_MS = 200;

export interface RedisConnectionOptions {
  /** `redis://`, `rediss://` (TLS, verified), `unix:///path` or `redis+sentinel://`; see {@link parseRedisUrl}. */
  readonly url: string;
  /** Shown by `CLIENT LIST`; no spaces. */
  readonly clientName: string;
  /** Called for each failed attempt and each lost connection; for operators, it never holds the password. */
  readonly onError?: (error: Error) => void;
  /** Connect at the first command instead of at once. Default false. */
  readonly isLazy?: boolean;
  /** Wire protocol. Default 3; 2 where ioredis drops what RESP3 sends as a push (invalidations). */
  readonly protocol?: 2 | 3;
}

/**
 * Opens a connection that is retried for ever with a capped, jittered delay and never throws or emits an unhandled `error`.
 * While it is down each command rejects at once: nothing is queued, and nothing is sent twice, because a command whose answer
 * was lost may have been carried out. Not for blocking commands: silence for 2 s ends the connection.
 * @throws {TypeError} when the URL can't be read.
 */
export function openRedis(options: RedisConnectionOptions): Redis {
  const place = parseRedisUrl(options.url);
  // The text is not quoted: it may hold the password.
  if (place === undefined) throw new TypeError(`a Redis URL is ${REDIS_URL_FORMS}`);
  const redis = new Redis({
    ...place,
    protocol: options.protocol ?? 3,
    replyMapping: "legacy",
    connectionName: options.clientName,
    lazyConnect: options.isLazy ?? false,
    disableClientInfo: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    // A server that still loads its files is asked again soon, not after its own estimate in whole seconds.
    maxLoadingRetryTime: 100,
    retryStrategy: reconnectDelayMs,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    // 0 rejects the commands in flight as soon as their connection is gone instead of at their timeout.
    maxRetriesPerRequest: 0,
  });
  redis.on("error", (error: Error) => options.onError?.(error));
  return redis;
}

/** Resolves when a connection is usable, or when the time is over: whoever uses it then learns why it is not. Never rejects. */
export async function readyWithin(redis: Redis, milliseconds: number): Promise<void> {
  if (redis.status === "ready") return;
  await once(redis, "ready", { signal: AbortSignal.timeout(milliseconds) }).catch(() => undefined);
}

/** Closes the connection for good; resolves when its socket is gone, also when the server is frozen. Never rejects. */
export async function closeRedis(redis: Redis): Promise<void> {
  if (redis.status === "end") return;
  const isEnded = new Promise<void>((resolve) => redis.once("end", () => resolve()));
  redis.disconnect();
  // Between two attempts there is no socket whose closing could be told.
  if (redis.status === "reconnecting") return;
  await isEnded;
}

/** A reply's own words end where it begins to quote. */
const REPLY = /^[A-Z]+(?: [A-Za-z -]*)?/;

/**
 * Returns what a record may say of a store's error. Servers quote the arguments of a command that they don't know, so that one which is
 * too old, or no Redis, would say the password of `AUTH` back to us.
 */
export function storeErrorText(error: unknown): string {
  if (!(error instanceof Error)) return "no error";
  if (error.name !== "ReplyError") return error.message;
  return REPLY.exec(error.message)?.[0].trim() ?? error.name;
}

/** Half of the delay is random, so that many processes do not come back to a restarted server in one instant. */
function reconnectDelayMs(attempt: number): number {
  const longest = Math.min(MAX_RECONNECT_DELAY_MS, 50 * 2 ** Math.min(attempt - 1, 10));
  return longest / 2 + Math.random() * (longest / 2);
}
