import type { Redis } from "ioredis";
import type { Hostname } from "@gatehouse/shared/hostname";
import { recordHostname } from "@gatehouse/shared/oauth-record";
import { deleteClient, revokeGrant } from "@gatehouse/shared/oauth-revocation";
import { certificateKey, CLIENT_PREFIX, GRANT_PREFIX, OAUTH_PREFIX } from "@gatehouse/shared/redis-keys";
import { scanKeys } from "./scan-keys.ts";

/**
 * Deletes everything that was ever stored for a hostname: clients and grants by way of their revocation, so that nothing is issued on
 * them meanwhile, then every other record that carries the name. Returns how many keys that were. May be repeated.
 */
export async function purgeHost(redis: Redis, hostname: Hostname): Promise<number> {
  const before = await countKeys(redis, hostname);
  for await (const key of scanKeys(redis, CLIENT_PREFIX)) {
    if (await isOf(redis, key, hostname))
      await deleteClient(redis, hostname, key.slice(CLIENT_PREFIX.length));
  }
  for await (const key of scanKeys(redis, GRANT_PREFIX)) {
    if (await isOf(redis, key, hostname)) await revokeGrant(redis, key.slice(GRANT_PREFIX.length));
  }
  for await (const key of scanKeys(redis, OAUTH_PREFIX)) {
    if (await isOf(redis, key, hostname)) await redis.del(key);
  }
  await redis.del(certificateKey(hostname));
  return before;
}

async function countKeys(redis: Redis, hostname: Hostname): Promise<number> {
  let count = await redis.exists(certificateKey(hostname));
  for await (const key of scanKeys(redis, OAUTH_PREFIX)) if (await isOf(redis, key, hostname)) count += 1;
  return count;
}

/** By its name where that holds the hostname (`oauth:WORD:HOST…`), else by what the record says. */
async function isOf(redis: Redis, key: string, hostname: Hostname): Promise<boolean> {
  if (key.split(":")[2] === hostname) return true;
  if ((await redis.type(key)) !== "string") return false;
  const text = await redis.get(key);
  return text !== null && recordHostname(text) === hostname;
}
