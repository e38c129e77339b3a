import type { RedisClient } from "./redis-connection.ts";
import type { Hostname } from "./hostname.ts";
import {
  clientGrantsKey,
  clientKey,
  grantIdentityKey,
  grantKey,
  grantMembersKey,
  tokenKey,
} from "./redis-keys.ts";
import { clientRecordSchema } from "./client-record.ts";
import { readRecord } from "./oauth-record.ts";
import { tokenRecordSchema } from "./token-record.ts";

/** Revokes one access token; false when this hostname has no such token (any more). Its grant and refresh token stay. */
export async function revokeToken(redis: RedisClient, hostname: Hostname, jti: string): Promise<boolean> {
  const key = tokenKey(jti);
  const stored = await readRecord(redis, key, { hostname, schema: tokenRecordSchema });
  if (stored === undefined) return false;
  await redis.zrem(grantMembersKey(stored.value.grant_id), key);
  return (await redis.del(key)) > 0;
}

/**
 * Revokes a grant and all that was issued on it. The grant goes first: whoever issues writes the new record, then looks whether
 * the grant is still there, and takes the record back when it is not. Either that look, or the list read here, finds each record,
 * whatever the order in which the two run, and without any command that touches two keys (they may lie on two servers).
 */
export async function revokeGrant(redis: RedisClient, grantId: string): Promise<void> {
  await redis.del(grantKey(grantId));
  const members = grantMembersKey(grantId);
  for (const key of await redis.zrange(members, "0", "-1")) await redis.del(key);
  await redis.del(members);
  await redis.del(grantIdentityKey(grantId));
}

/** Deletes a client of this hostname and revokes its grants; false when there is no such client. The client goes first, as above. */
export async function deleteClient(
  redis: RedisClient,
  hostname: Hostname,
  clientId: string,
): Promise<boolean> {
  const key = clientKey(clientId);
  const stored = await readRecord(redis, key, { hostname, schema: clientRecordSchema });
  if (stored === undefined) return false;
  const isDeleted = (await redis.del(key)) > 0;
  await revokeClientGrants(redis, hostname, clientId);
  return isDeleted;
}

/** Revokes every grant of a client on this hostname; for clients without a record (metadata documents) too. */
export async function revokeClientGrants(
  redis: RedisClient,
  hostname: Hostname,
  clientId: string,
): Promise<void> {
  const grants = clientGrantsKey(hostname, clientId);
  for (const grantId of await redis.zrange(grants, "0", "-1")) await revokeGrant(redis, grantId);
  await redis.del(grants);
}
