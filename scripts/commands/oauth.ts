import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { clientRecordSchema, type ClientRecord } from "@gatehouse/shared/client-record";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import {
  deleteClient,
  revokeClientGrants,
  revokeGrant,
  revokeToken,
} from "@gatehouse/shared/oauth-revocation";
import { CLIENT_GRANTS_PREFIX, clientGrantsKey, clientKey, tokenKey } from "@gatehouse/shared/redis-keys";
import { tokenRecordSchema, type TokenRecord } from "@gatehouse/shared/token-record";
import {
  countMembers,
  readClients,
  readGrant,
  readGrants,
  readOwned,
  readTokens,
  type Grant,
} from "../grants/oauth-records.ts";
import { scanKeys } from "../hosts/scan-keys.ts";
import { recordCommands, type RecordKind } from "./oauth-list.ts";

type Owned<Value> = Value & { readonly hostname: Hostname };

const clients: RecordKind<Owned<ClientRecord>> = {
  noun: "client",
  idWord: "CLIENT_ID",
  heading: ["HOST", "CLIENT", "NAME", "TOKENS", "LAST TOKEN", "REDIRECTS TO"],
  cells: (client) => [
    client.hostname,
    client.client_id,
    client.client_name ?? "",
    String(client.usage_count),
    moment(client.last_token_issued ?? undefined),
    client.redirect_uris.join(" "),
  ],
  // An allow-list would hide metadata that a client registered; what is secret is stored as a hash, and named so.
  shown: (client) => Object.fromEntries(Object.entries(client).filter(([name]) => !name.endsWith("_hash"))),
  read: readClients,
  find: async (redis, id) => await readOwned(redis, clientKey(id), clientRecordSchema),
  details: async (redis, client) => ({
    grants: await redis.zcard(clientGrantsKey(client.hostname, client.client_id)),
  }),
  revoke: async (redis, client) => await deleteClient(redis, client.hostname, client.client_id),
  revokeUnrecorded,
  consequence:
    "Deletes the client and everything granted to it: its tokens end, and it has to register anew. A client known by its metadata document (an https:// id) loses its grants.",
};

const tokens: RecordKind<Owned<TokenRecord>> = {
  noun: "token",
  idWord: "JTI",
  heading: ["HOST", "USER", "CLIENT", "SCOPES", "ENDS", "JTI"],
  cells: (token) => [token.hostname, token.sub, token.client_id, token.scope, moment(token.exp), token.jti],
  shown: (token) => {
    const { hostname, jti, sub, uid, client_id, scope, aud, iss, iat, exp, grant_id } = token;
    return { hostname, jti, sub, uid, client_id, scope, aud, iss, iat, exp, grant_id };
  },
  read: readTokens,
  find: async (redis, id) => await readOwned(redis, tokenKey(id), tokenRecordSchema),
  details: async () => ({}),
  revoke: async (redis, token) => await revokeToken(redis, token.hostname, token.jti),
  consequence:
    "Ends an access token. Its client gets another one by its refresh token: `grant revoke` ends that too.",
};

const grants: RecordKind<Grant> = {
  noun: "grant",
  idWord: "GRANT_ID",
  heading: ["HOST", "USER", "CLIENT", "SCOPES", "SINCE", "GRANT"],
  cells: (grant) => [
    grant.hostname,
    grant.user ?? grant.uid ?? "",
    grant.client_id,
    grant.scope,
    moment(grant.granted_at),
    grant.grant_id,
  ],
  shown: (grant) => grant,
  read: readGrants,
  find: readGrant,
  details: async (redis, grant) => ({ holds: await countMembers(redis, grant.grant_id) }),
  revoke: async (redis, grant) => await revokeGrant(redis, grant.grant_id),
  consequence:
    "Ends what one person gave one client: access tokens and refresh tokens. The person may log in and grant it again.",
};

/** `gatehouse client …`, `gatehouse token …`, `gatehouse grant …`. */
export const oauthCommands = [
  ...recordCommands(clients),
  ...recordCommands(tokens),
  ...recordCommands(grants),
];

/** A client known by its metadata document is on no record of ours; its grants are filed under its id on each hostname. */
async function revokeUnrecorded(redis: RedisClient, clientId: string): Promise<number> {
  let revoked = 0;
  for await (const key of scanKeys(redis, CLIENT_GRANTS_PREFIX)) {
    const rest = key.slice(CLIENT_GRANTS_PREFIX.length);
    const name = parseHostname(rest.slice(0, rest.indexOf(":")));
    if (!name.ok || key !== clientGrantsKey(name.hostname, clientId)) continue;
    await revokeClientGrants(redis, name.hostname, clientId);
    revoked += 1;
  }
  return revoked;
}

/** To the minute, UTC. */
function moment(seconds: number | undefined): string {
  return seconds === undefined
    ? "never"
    : new Date(seconds * 1000).toISOString().slice(0, 16).replace("T", " ");
}
