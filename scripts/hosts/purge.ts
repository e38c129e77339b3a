import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { recordHostname } from "@gatehouse/shared/oauth-record";
import { deleteClient, revokeGrant } from "@gatehouse/shared/oauth-revocation";
import { certificateKey, CLIENT_PREFIX, GRANT_PREFIX, OAUTH_PREFIX } from "@gatehouse/shared/redis-keys";
import { scanBatches } from "./scan-keys.ts";

/** Keys deleted at once: they cost one way to Redis together. */
const BATCH = 500;

/**
 * Deletes everything that was ever stored for a hostname: clients and grants by way of their revocation, so that nothing is issued on
 * them meanwhile, then every other record that carries the name. Returns how many keys that were. May be repeated.
 */
export async function purgeHost(redis: RedisClient, hostname: Hostname): Promise<number> {
  const keys = await keysOf(redis, hostname);
  const idsOf = (prefix: string): string[] =>
    keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
  for (const clientId of idsOf(CLIENT_PREFIX)) await deleteClient(redis, hostname, clientId);
  for (const grantId of idsOf(GRANT_PREFIX)) await revokeGrant(redis, grantId);
  for (let first = 0; first < keys.length; first += BATCH)
    await Promise.all(keys.slice(first, first + BATCH).map(async (key) => await redis.del(key)));
  return keys.length + (await redis.del(certificateKey(hostname)));
}

async function keysOf(redis: RedisClient, hostname: Hostname): Promise<string[]> {
  const own: string[] = [];
  for await (const keys of scanBatches(redis, OAUTH_PREFIX)) {
    const areOwn = await Promise.all(keys.map(async (key) => await isOf(redis, key, hostname)));
    own.push(...keys.filter((_, i) => areOwn[i]));
  }
  return own;
}

/** By its name where that holds the hostname (`oauth:WORD:HOST…`), else by what the record says. */
async function isOf(redis: RedisClient, key: string, hostname: Hostname): Promise<boolean> {
  if (key.split(":")[2] === hostname) return true;
  if ((await redis.type(key)) !== "string") return false;
  const text = await redis.get(key);
  return text !== null && recordHostname(text) === hostname;
}
