import { isUtf8 } from "node:buffer";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import {
  CERTIFICATE_PREFIX,
  HOST_CONFIG_PREFIX,
  OAUTH_PREFIX,
  PORT_CLAIMS_KEY,
  ROUTE_PREFIX,
} from "@gatehouse/shared/redis-keys";
import { scanBatches, scanKeys } from "../hosts/scan-keys.ts";
import type { BackupEntry } from "./backup-file.ts";

/**
 * What is ours but the traffic record, in the order in which it is restored: a route leads nowhere before its host config is there, and a
 * host serves nobody before its keys are.
 */
export const BACKUP_PREFIXES = [
  CERTIFICATE_PREFIX,
  "acme:",
  OAUTH_PREFIX,
  PORT_CLAIMS_KEY,
  HOST_CONFIG_PREFIX,
  ROUTE_PREFIX,
] as const;

/** True for a key that a backup holds. */
export function isOurs(key: string): boolean {
  return BACKUP_PREFIXES.some((prefix) => key.startsWith(prefix));
}

/** Returns one key of ours, undefined where nothing is stored. */
export async function anyOfOurs(redis: RedisClient): Promise<string | undefined> {
  for (const prefix of BACKUP_PREFIXES) for await (const key of scanKeys(redis, prefix)) return key;
  return undefined;
}

/**
 * Yields everything of ours. What changes meanwhile may be in it or not.
 * @throws {Error} for a value that the format can't hold: leaving it out would be found out too late
 */
export async function* everyEntry(redis: RedisClient): AsyncGenerator<BackupEntry> {
  for (const prefix of BACKUP_PREFIXES) {
    for await (const keys of scanBatches(redis, prefix)) {
      const entries = await Promise.all(keys.map(async (key) => await readEntry(redis, key)));
      for (const entry of entries) if (entry !== undefined) yield entry;
    }
  }
}

/** Writes an entry in the place of whatever is there; false when it has ended meanwhile. One key at a time, for a Cluster. */
export async function writeEntry(redis: RedisClient, entry: BackupEntry, now: number): Promise<boolean> {
  const { key, expires_at_ms: end } = entry;
  if (end !== undefined && end <= now) return false;
  const steps = redis.multi().del(key);
  if (entry.type === "string") steps.set(key, entry.value);
  else if (entry.type === "hash") steps.hset(key, entry.value);
  else steps.zadd(key, ...Object.entries(entry.value).flatMap(([member, score]) => [score, member]));
  if (end !== undefined) steps.pexpireat(key, end);
  for (const [error] of (await steps.exec()) ?? []) if (error) throw error;
  return true;
}

async function readEntry(redis: RedisClient, key: string): Promise<BackupEntry | undefined> {
  const [type, end] = await Promise.all([redis.type(key), redis.pexpiretime(key)]);
  const common = { key, ...(end > 0 ? { expires_at_ms: end } : {}) };
  switch (type) {
    case "none":
      return undefined; // has ended since it was found
    case "string": {
      const value = await redis.getBuffer(key);
      if (value === null) return undefined;
      if (!isUtf8(value)) throw new Error(`${key} holds something that is not text, and not ours`);
      return { ...common, type, value: value.toString() };
    }
    case "hash":
      return { ...common, type, value: await redis.hgetall(key) };
    case "zset": {
      const flat = await redis.zrange(key, "0", "-1", "WITHSCORES");
      const members = flat.flatMap((member, i) =>
        i % 2 === 0 ? [[member, flat[i + 1] ?? "0"] as const] : [],
      );
      return { ...common, type, value: Object.fromEntries(members) };
    }
    default:
      throw new Error(`${key} is a ${type}, which a backup does not hold`);
  }
}
