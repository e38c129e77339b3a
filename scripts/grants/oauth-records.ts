import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { clientRecordSchema, type ClientRecord } from "@gatehouse/shared/client-record";
import { grantFacts, grantRecordSchema } from "@gatehouse/shared/grant-record";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { identityRecordSchema } from "@gatehouse/shared/identity-record";
import { parseRecord, recordHostname } from "@gatehouse/shared/oauth-record";
import {
  CLIENT_PREFIX,
  grantIdentityKey,
  grantKey,
  grantMembersKey,
  GRANT_PREFIX,
  TOKEN_PREFIX,
} from "@gatehouse/shared/redis-keys";
import { tokenRecordSchema, type TokenRecord } from "@gatehouse/shared/token-record";
import { readText } from "@gatehouse/shared/stored-text";
import { refuseWrongType } from "../hosts/refuse-wrong-type.ts";
import { scanBatches } from "../hosts/scan-keys.ts";

/** What records are chosen by; all of it must hold. */
export interface Selection {
  readonly hostname?: Hostname;
  /** A login, in any case, or the provider's id. */
  readonly user?: string;
  readonly client?: string;
}

/** A grant as an operator sees it. Times are unix seconds. */
export interface Grant {
  readonly grant_id: string;
  readonly hostname: Hostname;
  readonly client_id: string;
  /** Undefined before the person came back from the provider. */
  readonly user: string | undefined;
  readonly uid: string | undefined;
  readonly scope: string;
  readonly granted_at: number | undefined;
  /** When it ends if nobody uses it any more. */
  readonly ends_at: number | undefined;
}

type Owned<Value> = Value & { readonly hostname: Hostname };

/** Yields the clients that are registered. */
export async function* readClients(
  redis: RedisClient,
  selection: Selection,
): AsyncGenerator<Owned<ClientRecord>> {
  const isOfUser = selection.user === undefined ? undefined : await clientsOfUser(redis, selection);
  for await (const { text } of texts(redis, CLIENT_PREFIX)) {
    const client = owned(text, clientRecordSchema, selection.hostname);
    if (client === undefined || (selection.client ?? client.client_id) !== client.client_id) continue;
    if (isOfUser?.has(client.client_id) ?? true) yield client;
  }
}

/** Yields the access tokens that are good. */
export async function* readTokens(
  redis: RedisClient,
  selection: Selection,
): AsyncGenerator<Owned<TokenRecord>> {
  for await (const { text } of texts(redis, TOKEN_PREFIX)) {
    const token = owned(text, tokenRecordSchema, selection.hostname);
    if (token === undefined || (selection.client ?? token.client_id) !== token.client_id) continue;
    if (isUser(selection.user, { login: token.sub, uid: token.uid })) yield token;
  }
}

/** Yields the grants that are good. */
export async function* readGrants(redis: RedisClient, selection: Selection): AsyncGenerator<Grant> {
  for await (const { key, text } of texts(redis, GRANT_PREFIX)) {
    const grant = await grantOf(redis, key.slice(GRANT_PREFIX.length), text);
    if (grant === undefined || (selection.hostname ?? grant.hostname) !== grant.hostname) continue;
    if ((selection.client ?? grant.client_id) !== grant.client_id) continue;
    if (isUser(selection.user, { login: grant.user, uid: grant.uid })) yield grant;
  }
}

/**
 * Returns one grant, undefined when there is none.
 * @throws {ConfigError} when what is there is no string
 */
export async function readGrant(redis: RedisClient, grantId: string): Promise<Grant | undefined> {
  const text = await readText(redis, grantKey(grantId));
  refuseWrongType(text);
  return text === null ? undefined : await grantOf(redis, grantId, text);
}

/**
 * Returns one record by its key; undefined when there is none that is ours.
 * @throws {ConfigError} when what is there is no string
 */
export async function readOwned<Value extends { hostname: string }>(
  redis: RedisClient,
  key: string,
  schema: Parameters<typeof parseRecord<Value>>[1]["schema"],
): Promise<Owned<Value> | undefined> {
  const text = await readText(redis, key);
  refuseWrongType(text);
  return text === null ? undefined : owned(text, schema);
}

/** Returns how many of each kind end with a grant: `token`, `refresh`, `code`. The keys themselves hold hashes. */
export async function countMembers(redis: RedisClient, grantId: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const key of await redis.zrange(grantMembersKey(grantId), "0", "-1")) {
    if ((await redis.exists(key)) === 0) continue;
    const kind = key.split(":")[1] ?? "";
    counts[kind] = (counts[kind] ?? 0) + 1;
  }
  return counts;
}

async function grantOf(redis: RedisClient, grantId: string, text: string): Promise<Grant | undefined> {
  const record = owned(text, grantRecordSchema);
  if (record === undefined) return undefined;
  const facts = grantFacts(record.payload);
  if (facts === undefined) return undefined;
  const known = await readText(redis, grantIdentityKey(grantId));
  const identity = known === null ? undefined : owned(known, identityRecordSchema);
  const endsAtMs = await redis.pexpiretime(grantKey(grantId));
  return {
    grant_id: grantId,
    hostname: record.hostname,
    client_id: facts.clientId,
    user: identity?.login,
    uid: identity?.uid ?? facts.accountId,
    scope: facts.scopes.join(" "),
    granted_at: facts.grantedAt,
    ends_at: endsAtMs > 0 ? Math.floor(endsAtMs / 1000) : undefined,
  };
}

async function clientsOfUser(redis: RedisClient, { hostname, user }: Selection): Promise<Set<string>> {
  const clients = new Set<string>();
  const selection = { ...(hostname && { hostname }), ...(user === undefined ? {} : { user }) };
  for await (const { client_id: client } of readGrants(redis, selection)) clients.add(client);
  return clients;
}

function isUser(
  wanted: string | undefined,
  { login, uid }: { login: string | undefined; uid: string | undefined },
): boolean {
  return wanted === undefined || login?.toLowerCase() === wanted.toLowerCase() || uid === wanted;
}

function owned<Value extends { hostname: string }>(
  text: string,
  schema: Parameters<typeof parseRecord<Value>>[1]["schema"],
  wanted?: Hostname,
): Owned<Value> | undefined {
  const name = parseHostname(recordHostname(text) ?? "");
  if (!name.ok || (wanted ?? name.hostname) !== name.hostname) return undefined;
  const value = parseRecord(text, { hostname: name.hostname, schema });
  return value && { ...value, hostname: name.hostname };
}

async function* texts(redis: RedisClient, prefix: string): AsyncGenerator<{ key: string; text: string }> {
  for await (const keys of scanBatches(redis, prefix)) {
    const values = await Promise.all(keys.map(async (key) => await readText(redis, key)));
    // What has ended since the key was found has no value any more.
    for (const [i, key] of keys.entries()) {
      const text = values[i];
      if (typeof text === "string") yield { key, text };
    }
  }
}
