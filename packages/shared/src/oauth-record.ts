import type { RedisClient } from "./redis-connection.ts";
import * as z from "zod";
import type { Hostname } from "./hostname.ts";
import { readText } from "./stored-text.ts";

/** A stored record with the exact text it was read from, which a later {@link replaceRecord} compares with. */
export interface StoredRecord<Value> {
  readonly text: string;
  readonly value: Value;
}

/**
 * Reads one `oauth:*` record. Undefined when there is none, when it does not have the shape, and when it belongs to another
 * hostname: a record that was copied or guessed across hosts must be worth nothing there.
 */
export async function readRecord<Value extends { hostname: string }>(
  redis: RedisClient,
  key: string,
  expected: { hostname: Hostname; schema: z.ZodType<Value> },
): Promise<StoredRecord<Value> | undefined> {
  const text = await readText(redis, key);
  if (text === null) return undefined;
  const value = parseRecord(text, expected);
  return value === undefined ? undefined : { text, value };
}

/** Reads the text of a record as {@link readRecord} does. Never throws. */
export function parseRecord<Value extends { hostname: string }>(
  text: string,
  expected: { hostname: Hostname; schema: z.ZodType<Value> },
): Value | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    return undefined; // not ours: somebody else's value under our key
  }
  const parsed = expected.schema.safeParse(document);
  return parsed.success && parsed.data.hostname === expected.hostname ? parsed.data : undefined;
}

const ownedSchema = z.object({ hostname: z.string() });

/** Returns the hostname that a record carries, whatever else is in it; undefined when it is none of ours. Never throws. */
export function recordHostname(text: string): string | undefined {
  try {
    return ownedSchema.safeParse(JSON.parse(text)).data?.hostname;
  } catch {
    return undefined;
  }
}

/** One key only, so that it also runs on a Redis Cluster; the texts are compared as they are, nothing is decoded in Lua. */
const REPLACE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '' then redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
else redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3]) end
return 1`;

/**
 * Puts `to` in the place of exactly `from`, atomically; false when the value is another by now. This is what makes a code and a
 * refresh token single-use. `seconds` is the new time to live; without it the old one stays.
 */
export async function replaceRecord(
  redis: RedisClient,
  key: string,
  change: { from: string; to: string; seconds?: number },
): Promise<boolean> {
  const seconds = change.seconds === undefined ? "" : String(change.seconds);
  return (await redis.eval(REPLACE, 1, key, change.from, change.to, seconds)) === 1;
}

/** Attempts of {@link updateRecord}; each loss means that somebody else won, so only a crowd on one record gets near it. */
const MAX_UPDATE_ATTEMPTS = 100;

/**
 * Changes a record by a pure function until no one interferes. Undefined when there is no such record.
 * @throws {Error} when a hundred attempts were overtaken.
 */
export async function updateRecord<Value extends { hostname: string }>(
  redis: RedisClient,
  key: string,
  update: {
    hostname: Hostname;
    schema: z.ZodType<Value>;
    change: (value: Value) => Value;
    seconds?: number;
  },
): Promise<Value | undefined> {
  for (let attempt = 0; attempt < MAX_UPDATE_ATTEMPTS; attempt += 1) {
    const stored = await readRecord(redis, key, update);
    if (stored === undefined) return undefined;
    const value = update.change(stored.value);
    const { seconds } = update;
    const isReplaced = await replaceRecord(redis, key, {
      from: stored.text,
      to: JSON.stringify(value),
      ...(seconds === undefined ? {} : { seconds }),
    });
    if (isReplaced) return value;
  }
  throw new Error(`a record was changed by others ${MAX_UPDATE_ATTEMPTS} times in a row`);
}
