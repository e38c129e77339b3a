import type { RedisClient } from "@gatehouse/shared/redis-connection";

/** Returns key and content of everything under keys that match, whatever its type, as one text. */
export async function dumpText(store: RedisClient, pattern: string): Promise<string> {
  const lines: string[] = [];
  for (const key of await store.keys(pattern)) lines.push(key, ...(await contentOf(store, key)));
  return lines.join("\n");
}

async function contentOf(store: RedisClient, key: string): Promise<readonly string[]> {
  const type = await store.type(key);
  switch (type) {
    case "string":
      return [(await store.getBuffer(key))?.toString("latin1") ?? ""];
    case "list":
      return await store.lrange(key, 0, -1);
    case "hash":
      return Object.entries(await store.hgetall(key)).flat();
    case "set":
      return await store.smembers(key);
    case "zset":
      return await store.zrange(key, "0", "-1");
    case "stream":
      return (await store.xrange(key, "-", "+")).flat(2);
    default:
      throw new Error(`${key} is a ${type}, which nobody here writes`);
  }
}
