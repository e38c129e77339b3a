import type { RedisClient } from "@gatehouse/shared/redis-connection";

/** How ioredis and Redis say that a command could not be done for now; none of it is about the command itself. */
const STORE_ERRORS =
  /^(?:Command timed out|Connection is closed|Stream isn't writeable|Socket timeout|Reached the max retries|LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|MISCONF|OOM|Cluster isn't ready|Cluster is ended|Too many Cluster redirections|None of startup nodes)/;

/** True when a failure comes of the store being away: then waiting helps, and 503 is the answer. */
export function isStoreAway(redis: RedisClient, error: unknown): boolean {
  return redis.status !== "ready" || (error instanceof Error && STORE_ERRORS.test(error.message));
}
