import { Provider, errors, type Adapter, type AdapterPayload } from "oidc-provider";
import {
  clientRecordSchema,
  hashSecret,
  isSecretHash,
  secretMatches,
  type ClientRecord,
} from "@gatehouse/shared/client-record";
import { readRecord, updateRecord, type StoredRecord } from "@gatehouse/shared/oauth-record";
import { deleteClient } from "@gatehouse/shared/oauth-revocation";
import { clientKey } from "@gatehouse/shared/redis-keys";
import { unusedMethods } from "./adapter-model.ts";
import { nowSeconds, type OAuthStore } from "./oauth-store.ts";

/** Members of the record that are ours and not client metadata. */
const OURS: ReadonlySet<string> = new Set([
  "hostname",
  "registration_client_uri",
  "client_secret_hash",
  "registration_access_token_hash",
  "usage_count",
  "last_token_issued",
]);

/** Defaults the engine writes into every client, which only OpenID Connect or the engine itself reads; it fills them in again. */
const ENGINE_DEFAULTS: ReadonlySet<string> = new Set([
  "id_token_signed_response_alg",
  "require_auth_time",
  "subject_type",
]);

/** Registered clients. The engine is given the hash in the place of the secret, see `compareSecrets`. */
export function clientAdapter(store: OAuthStore): Adapter {
  const { redis, hostname } = store;
  return {
    ...unusedMethods("Client"),
    async find(clientId) {
      const stored = await findClient(store, clientId);
      if (stored === undefined) return undefined;
      const { client_secret_hash: secretHash } = stored.value;
      const metadata = Object.fromEntries(Object.entries(stored.value).filter(([name]) => !OURS.has(name)));
      return secretHash === undefined ? metadata : { ...metadata, client_secret: secretHash };
    },
    async upsert(clientId, payload) {
      const metadata = storedMetadata(payload);
      const updated = await updateRecord(redis, clientKey(clientId), {
        hostname,
        schema: clientRecordSchema,
        // A member that an update leaves out is removed (RFC 7592 section 2.2); ours stay.
        change: (old) => ({ ...ours(old), ...metadata }),
      });
      if (updated !== undefined) return;
      const record = { ...newRecord(clientId), ...metadata };
      const seconds = store.lifetimes.unusedClient;
      await redis.set(clientKey(clientId), JSON.stringify(record), "EX", seconds, "NX");
    },
    async destroy(clientId) {
      await deleteClient(redis, hostname, clientId);
    },
  };

  function newRecord(clientId: string): ClientRecord {
    const context = Provider.ctx;
    if (context === undefined) throw new Error("clients are registered by requests only");
    return {
      hostname,
      client_id: clientId,
      redirect_uris: [],
      registration_client_uri: context.oidc.urlFor("client", { clientId }),
      usage_count: 0,
      last_token_issued: null,
    };
  }
}

/**
 * Registration access tokens live in the record of their client, as a hash, and end with it. The engine asks for one only at
 * `/register/{client_id}`, which says whose it must be.
 */
export function registrationTokenAdapter(store: OAuthStore): Adapter {
  return {
    ...unusedMethods("RegistrationAccessToken"),
    async find(token) {
      const clientId: unknown = Provider.ctx?.["params"]?.clientId;
      const stored = typeof clientId === "string" ? await findClient(store, clientId) : undefined;
      const expected = stored?.value.registration_access_token_hash;
      if (stored === undefined || expected === undefined || !secretMatches(expected, token)) return undefined;
      return {
        jti: token,
        kind: "RegistrationAccessToken",
        clientId: stored.value.client_id,
        iat: nowSeconds(),
      };
    },
    async upsert(token, { clientId = "" }) {
      const updated = await updateRecord(store.redis, clientKey(clientId), {
        hostname: store.hostname,
        schema: clientRecordSchema,
        change: (client) => ({ ...client, registration_access_token_hash: hashSecret(token) }),
      });
      if (updated === undefined) throw new errors.InvalidToken("the client was deleted meanwhile");
    },
    async destroy() {
      // It is gone with its client, and replaced by the next one.
    },
  };
}

/** Makes the engine compare a client's secret with the stored hash. */
export function compareSecrets(provider: Provider): void {
  provider.Client.prototype.compareClientSecret = function compareClientSecret(actual: string) {
    return this.clientSecret !== undefined && secretMatches(this.clientSecret, actual);
  };
}

async function findClient(
  store: OAuthStore,
  clientId: string,
): Promise<StoredRecord<ClientRecord> | undefined> {
  return await readRecord(store.redis, clientKey(clientId), {
    hostname: store.hostname,
    schema: clientRecordSchema,
  });
}

function ours(record: ClientRecord): ClientRecord {
  return {
    hostname: record.hostname,
    client_id: record.client_id,
    redirect_uris: record.redirect_uris,
    registration_client_uri: record.registration_client_uri,
    usage_count: record.usage_count,
    last_token_issued: record.last_token_issued,
    ...(record.registration_access_token_hash === undefined
      ? {}
      : { registration_access_token_hash: record.registration_access_token_hash }),
  };
}

/** The engine hands over the secret it has just made, or the hash it was given by `find`. */
function storedMetadata(payload: AdapterPayload): Record<string, unknown> {
  const { client_secret: secret, ...metadata } = payload as Record<string, unknown>;
  const kept = Object.fromEntries(
    Object.entries(metadata).filter(([name, value]) => value !== undefined && !ENGINE_DEFAULTS.has(name)),
  );
  if (typeof secret !== "string") return kept;
  return { ...kept, client_secret_hash: isSecretHash(secret) ? secret : hashSecret(secret) };
}
