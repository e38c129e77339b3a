import type { Redis } from "ioredis";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { onEveryServer } from "@gatehouse/shared/redis-servers";

/** Keys that Redis looks at in one step: some 0.1 ms of its one thread, so that nobody who serves waits for us. */
const STEP_KEYS = 500;

/** Yields every key that begins so, each once, a step at a time: never KEYS, which stops a server for as long as it takes. */
export async function* scanKeys(redis: RedisClient, prefix: string): AsyncGenerator<string> {
  for await (const keys of scanBatches(redis, prefix)) yield* keys;
}

/** The same in batches, for whoever asks something of every key: asked together, they cost one way to Redis and not one each. */
export async function* scanBatches(redis: RedisClient, prefix: string): AsyncGenerator<readonly string[]> {
  const pattern = `${prefix.replaceAll(/[\\*?[\]]/g, "\\$&")}*`;
  // SCAN may tell a key again while the table of keys grows or shrinks.
  const seen = new Set<string>();
  for await (const found of onEveryServer(redis, (server) => scanServer(server, pattern))) {
    const keys = [...new Set(found)].filter((key) => !seen.has(key));
    for (const key of keys) seen.add(key);
    if (keys.length > 0) yield keys;
  }
}

async function* scanServer(server: Redis, pattern: string): AsyncGenerator<readonly string[]> {
  let cursor = "0";
  do {
    const [next, found] = await server.scan(cursor, "MATCH", pattern, "COUNT", STEP_KEYS);
    cursor = next;
    yield found;
  } while (cursor !== "0");
}
