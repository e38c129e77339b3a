import { once } from "node:events";
import { ClusterConnection } from "@gatehouse/shared/redis-cluster";
import type { RedisClient } from "@gatehouse/shared/redis-connection";

const CONNECT_TIMEOUT_MS = 5000;

/**
 * Settles when the connection can be used.
 * @throws {Error} that says why it can't, and what says where Redis is: `place` are names of variables
 */
export async function connected(redis: RedisClient, place: string): Promise<void> {
  if (redis.status === "ready") return;
  const ready = once(redis, "ready", { signal: AbortSignal.timeout(CONNECT_TIMEOUT_MS) });
  await ready.catch(async (first: unknown) => {
    const cause = redis instanceof ClusterConnection ? await redis.whyAway() : first;
    const isLate = cause instanceof Error && cause.name === "AbortError";
    const why = isLate
      ? `not within ${CONNECT_TIMEOUT_MS} ms`
      : cause instanceof Error
        ? cause.message
        : String(cause);
    throw new Error(`Redis did not answer: ${why}. Where it is, is said by ${place}`, { cause });
  });
}
