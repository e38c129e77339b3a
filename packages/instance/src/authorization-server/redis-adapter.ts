import { Provider, errors, type Adapter } from "oidc-provider";
import * as z from "zod";
import { grantRecordSchema } from "@gatehouse/shared/grant-record";
import { parseRecord, readRecord, replaceRecord } from "@gatehouse/shared/oauth-record";
import { revokeGrant, revokeToken } from "@gatehouse/shared/oauth-revocation";
import { assertionKey, codeKey, grantKey, interactionKey, tokenKey } from "@gatehouse/shared/redis-keys";
import { tokenRecordSchema } from "@gatehouse/shared/token-record";
import { unusedMethods, withoutBearer } from "./adapter-model.ts";
import { clientAdapter, registrationTokenAdapter } from "./client-adapter.ts";
import { EngineRequest } from "./engine-exchange.ts";
import { nowSeconds, type OAuthStore } from "./oauth-store.ts";
import type { RefreshTokens } from "./refresh-tokens.ts";

/** The engine's payload inside a record, whatever it holds. */
const payloadSchema = z.looseObject({});
const assertionSchema = z.object({ hostname: z.string(), payload: payloadSchema });
const codeSchema = z.object({
  hostname: z.string(),
  payload: payloadSchema,
  grant_id: z.string(),
  /** Unix seconds. */
  consumed_at: z.number().optional(),
});
const interactionSchema = z.object({ hostname: z.string(), sealed: z.string() });

/** Returns the engine's adapter factory: how each of its models is kept in Redis. */
export function redisAdapters(store: OAuthStore, refreshTokens: RefreshTokens): (model: string) => Adapter {
  const adapters: Readonly<Record<string, Adapter>> = {
    Client: clientAdapter(store),
    RegistrationAccessToken: registrationTokenAdapter(store),
    Interaction: interactionAdapter(store),
    Session: SESSIONS,
    Grant: grantAdapter(store),
    AuthorizationCode: codeAdapter(store),
    AccessToken: accessTokenAdapter(store),
    RefreshToken: refreshTokens.adapter,
    ReplayDetection: assertionAdapter(store),
  };
  return (model) => adapters[model] ?? unusedMethods(model);
}

/**
 * No login session is kept: every authorization asks the person and the identity provider anew, so there is nothing that a stolen
 * cookie could continue. The engine makes a session for the length of one request and is let believe that it was saved.
 */
const SESSIONS: Adapter = {
  ...unusedMethods("Session"),
  find: async () => undefined,
  upsert: async () => undefined,
  destroy: async () => undefined,
};

/**
 * A started authorization. Its id is the value of a cookie and part of `returnTo`, and after the login it is worth a code: the
 * payload is sealed, the id hashed.
 */
function interactionAdapter(store: OAuthStore): Adapter {
  const { redis, hostname, sealing } = store;
  return {
    ...unusedMethods("Interaction"),
    async upsert(id, payload, expiresIn) {
      const key = interactionKey(id);
      const record = { hostname, sealed: sealing.seal(key, JSON.stringify(payload)) };
      await redis.set(key, JSON.stringify(record), "EX", expiresIn ?? store.lifetimes.pendingLogin);
    },
    async find(id) {
      const key = interactionKey(id);
      const stored = await readRecord(redis, key, { hostname, schema: interactionSchema });
      const text = stored && sealing.open(key, stored.value.sealed);
      return text && payloadSchema.parse(JSON.parse(text.toString()));
    },
    async destroy(id) {
      await redis.del(interactionKey(id));
    },
  };
}

function grantAdapter(store: OAuthStore): Adapter {
  const { redis, hostname } = store;
  return {
    ...unusedMethods("Grant"),
    async upsert(id, payload) {
      if (payload.clientId === undefined) throw new TypeError("a grant names its client");
      await store.saveGrant(id, { ...payload, clientId: payload.clientId });
    },
    async find(id) {
      return (await readRecord(redis, grantKey(id), { hostname, schema: grantRecordSchema }))?.value.payload;
    },
    async destroy(id) {
      await revokeGrant(redis, id);
    },
  };
}

/**
 * Authorization codes: stored under their hash, without the `jti`, which is the code itself. A code that was consumed is kept for
 * as long as a refresh token, so that a late replay is seen as one and ends what the code issued (RFC 6749 section 4.1.2).
 */
function codeAdapter(store: OAuthStore): Adapter {
  const { redis, hostname, lifetimes } = store;
  const read = async (code: string) =>
    await readRecord(redis, codeKey(code), { hostname, schema: codeSchema });
  return {
    ...unusedMethods("AuthorizationCode"),
    async upsert(code, payload, expiresIn) {
      const { payload: kept, grantId } = withoutBearer(payload);
      const key = codeKey(code);
      const record = { hostname, payload: kept, grant_id: grantId };
      const seconds = expiresIn ?? lifetimes.code;
      await redis.set(key, JSON.stringify(record), "EX", seconds);
      await store.joinGrant(grantId, key, seconds);
    },
    async find(code) {
      const stored = await read(code);
      if (stored === undefined) return undefined;
      const { payload, consumed_at: consumedAt } = stored.value;
      if (consumedAt === undefined) {
        await rememberIdentity(store, stored.value.grant_id);
        return { ...payload, jti: code };
      }
      // The engine calls an old code expired before it looks whether it was used. Made young, a late replay passes the same
      // checks of client, verifier and redirect URI as a quick one, and only then revokes: a code alone revokes nothing.
      return { ...payload, jti: code, consumed: consumedAt, exp: nowSeconds() + lifetimes.code };
    },
    async consume(code) {
      const stored = await read(code);
      if (stored === undefined) throw new errors.InvalidGrant("authorization code not found");
      const { value, text } = stored;
      const key = codeKey(code);
      const isWinner =
        value.consumed_at === undefined &&
        (await replaceRecord(redis, key, {
          from: text,
          to: JSON.stringify({ ...value, consumed_at: nowSeconds() }),
          seconds: lifetimes.refreshToken,
        }));
      if (isWinner) {
        await store.joinGrant(value.grant_id, key, lifetimes.refreshToken);
        return;
      }
      await revokeGrant(redis, value.grant_id);
      throw new errors.InvalidGrant("authorization code already consumed");
    },
    async revokeByGrantId() {
      // All members of a grant end together, see `accessTokenAdapter`.
    },
  };
}

/**
 * Access tokens are JWTs, which the engine neither stores nor finds. What it finds here is the record of a token that was shown
 * and verified in this very request: a `jti`, which is no secret, must not pass for the token.
 */
function accessTokenAdapter(store: OAuthStore): Adapter {
  const { redis, hostname } = store;
  return {
    ...unusedMethods("AccessToken"),
    async find(jti) {
      const request = Provider.ctx?.req;
      if (!(request instanceof EngineRequest) || request.presentedToken !== jti) return undefined;
      const stored = await readRecord(redis, tokenKey(jti), { hostname, schema: tokenRecordSchema });
      if (stored === undefined) return undefined;
      const { uid, client_id: clientId, grant_id: grantId, scope, iat, exp } = stored.value;
      return { jti, kind: "AccessToken", accountId: uid, clientId, grantId, scope, iat, exp };
    },
    async destroy(jti) {
      await revokeToken(redis, hostname, jti);
    },
    async revokeByGrantId(grantId) {
      // Who revokes one access token did not ask to be logged out (RFC 7009 section 2.1 leaves it open).
      if (Provider.ctx?.oidc.entities.AccessToken && Provider.ctx.oidc.route === "revocation") return;
      await revokeGrant(redis, grantId);
    },
  };
}

/** Client assertions are single-use (RFC 7523 section 3, `jti`). */
function assertionAdapter(store: OAuthStore): Adapter {
  const { redis, hostname } = store;
  return {
    ...unusedMethods("ReplayDetection"),
    async find(id) {
      const text = await redis.get(assertionKey(hostname, id));
      return text === null ? undefined : parseRecord(text, { hostname, schema: assertionSchema })?.payload;
    },
    async upsert(id, payload, expiresIn) {
      const record = JSON.stringify({ hostname, payload });
      const answer = await redis.set(
        assertionKey(hostname, id),
        record,
        "EX",
        Math.max(1, expiresIn ?? 1),
        "NX",
      );
      if (answer === null) throw new errors.InvalidClientAuth("client assertion already used");
    },
  };
}

/** Of many who redeem one code at once, one gets tokens, although the others revoke the grant before these are made. */
async function rememberIdentity(store: OAuthStore, grantId: string): Promise<void> {
  const request = Provider.ctx?.req;
  const identity = await store.findIdentity(grantId);
  if (request instanceof EngineRequest && identity !== undefined) request.granted = { grantId, identity };
}
