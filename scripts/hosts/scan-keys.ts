import type { Redis } from "ioredis";

/** Keys that Redis looks at in one step: some 0.1 ms of its one thread, so that nobody who serves waits for us. */
const STEP_KEYS = 500;

/** Yields every key that begins so, each once, a step at a time: never KEYS, which stops a server for as long as it takes. */
export async function* scanKeys(redis: Redis, prefix: string): AsyncGenerator<string> {
  const pattern = `${prefix.replaceAll(/[\\*?[\]]/g, "\\$&")}*`;
  // SCAN may tell a key again while the table of keys grows or shrinks.
  const seen = new Set<string>();
  let cursor = "0";
  do {
    const [next, keys] = await redis.scan(cursor, "MATCH", pattern, "COUNT", STEP_KEYS);
    cursor = next;
    for (const key of keys) {
      if (seen.has(key)) continue;
      seen.add(key);
      yield key;
    }
  } while (cursor !== "0");
}
