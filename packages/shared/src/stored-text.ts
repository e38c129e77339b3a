import type { RedisClient } from "./redis-connection.ts";

/** What stands under a key in the place of a string, as one HSET by hand leaves it. */
export interface WrongType {
  readonly key: string;
  /** As Redis calls it, with its article: `a hash`, `a zset`. */
  readonly type: string;
}

const WRONG_TYPE = /^\((\S+) is (a \S+), not a string\)$/;

/**
 * Reads a string; null for an absent key. A key of another type is a bad value and no failure of Redis, so it reads as a sentence that is
 * no JSON and no route: whoever keeps, compares and parses what is stored treats it as any other bad value, and {@link wrongTypeOf} tells
 * it apart for a message.
 * @throws what the connection rejects with.
 */
export async function readText(redis: RedisClient, key: string): Promise<string | null> {
  try {
    return await redis.get(key);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith("WRONGTYPE "))) throw error;
  }
  const type = await redis.type(key);
  if (type === "none") return null; // deleted since
  return type === "string" ? await readText(redis, key) : textOfType(key, type);
}

/** Returns the text that stands for a value of that type, a word of TYPE. */
export function textOfType(key: string, type: string): string {
  return `(${key} is a ${type}, not a string)`;
}

/** Returns what {@link readText} found in the place of a string; undefined for every other text. */
export function wrongTypeOf(text: string): WrongType | undefined {
  const [, key, type] = WRONG_TYPE.exec(text) ?? [];
  return key === undefined || type === undefined ? undefined : { key, type };
}
