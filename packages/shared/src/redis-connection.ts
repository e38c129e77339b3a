import { once } from "node:events";
import { Cluster, type Redis, type RedisOptions } from "ioredis";
import { keepStringsFast } from "./fast-strings.ts";
import { ClusterConnection } from "./redis-cluster.ts";
import { reconnectDelayMs, serverOptions } from "./redis-options.ts";
import { ServerConnection } from "./redis-server.ts";
import { parseClusterUrl, parseRedisUrl, REDIS_URL_FORMS } from "./redis-url.ts";

// ioredis is loaded, and extends it.
keepStringsFast();

/** The end of a Cluster's connections is told only where one was open. */
const END_TIMEOUT_MS = 500;

/** A single server, or a Cluster: whatever runs on it uses one key a command, or keys of one slot. */
export type RedisClient = Redis | Cluster;

export interface RedisConnectionOptions {
  /** See {@link parseRedisUrl} and {@link parseClusterUrl}. */
  readonly url: string;
  /** Shown by `CLIENT LIST`; no spaces. */
  readonly clientName: string;
  /** Called for each failed attempt and each lost connection; for operators, it never holds the password. */
  readonly onError?: (error: Error) => void;
  /** Connect at the first command instead of at once. Default false. */
  readonly isLazy?: boolean;
}

/**
 * Opens a connection that is retried for ever with a capped, jittered delay and never throws or emits an unhandled `error`.
 * While it is down each command rejects at once: nothing is queued, and nothing is sent twice, because a command whose answer
 * was lost may have been carried out. Not for blocking commands: silence for 2 s ends the connection.
 * @throws {TypeError} when the URL can't be read.
 */
export function openRedis(options: RedisConnectionOptions): RedisClient {
  const { url, clientName, isLazy = false } = options;
  const cluster = parseClusterUrl(url);
  if (cluster !== undefined) {
    const redis = new ClusterConnection(cluster, { clientName, isLazy });
    redis.on("error", (error: Error) => options.onError?.(error));
    redis.on("node error", (error: Error) => options.onError?.(error));
    return redis;
  }
  const place = parseRedisUrl(url);
  // The text is not quoted: it may hold the password.
  if (place === undefined) throw new TypeError(`a Redis URL is ${REDIS_URL_FORMS}`);
  return openServer(place, options);
}

/** Opens a connection to one server as {@link openRedis} does. `protocol` is 2 where ioredis drops what RESP3 sends as a push (invalidations). */
export function openServer(
  place: RedisOptions,
  options: Omit<RedisConnectionOptions, "url"> & { readonly protocol?: 2 | 3 },
): Redis {
  const redis = new ServerConnection({
    ...place,
    ...serverOptions(options.clientName),
    protocol: options.protocol ?? 3,
    lazyConnect: options.isLazy ?? false,
    retryStrategy: reconnectDelayMs,
    enableOfflineQueue: false,
  });
  redis.on("error", (error: Error) => options.onError?.(error));
  return redis;
}

/** Resolves when a connection is usable, or when the time is over: whoever uses it then learns why it is not. Never rejects. */
export async function readyWithin(redis: RedisClient, milliseconds: number): Promise<void> {
  if (redis.status === "ready") return;
  await once(redis, "ready", { signal: AbortSignal.timeout(milliseconds) }).catch(() => undefined);
}

/** Closes the connection for good; resolves when its socket is gone, also when the server is frozen. Never rejects. */
export async function closeRedis(redis: RedisClient): Promise<void> {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  redis.once("end", () => resolve());
  // Between two attempts there is no socket whose closing could be told.
  const isBetween = redis.status === "reconnecting" || redis.status === "end";
  redis.disconnect();
  if (isBetween) return;
  const timer = redis instanceof Cluster ? setTimeout(resolve, END_TIMEOUT_MS) : undefined;
  await ended;
  clearTimeout(timer);
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
