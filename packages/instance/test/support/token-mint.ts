import { randomUUID, type KeyObject } from "node:crypto";
import { SignJWT } from "jose";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { clientKey, grantIdentityKey, tokenKey } from "@gatehouse/shared/redis-keys";
import type { SigningKeyRing } from "../../src/oauth/signing-key.ts";

export const CLIENT = "client_VSMC7orqn6WQoElOov-Zvw";

export interface Minted {
  readonly sub?: string;
  readonly uid?: string;
  readonly scope?: string;
  readonly email?: string | null;
  readonly clientId?: string;
  /** Seconds from now. */
  readonly lifetime?: number;
  readonly organisations?: readonly string[];
  /** Claims that take the place of the usual ones; undefined leaves one out. */
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly key?: KeyObject;
  /** False: no record in Redis. */
  readonly isRecorded?: boolean;
}

/** Makes access tokens of one hostname as its authorization server does, without a login. */
export class TokenMint {
  readonly #place: { readonly name: string; readonly redis: RedisClient; readonly keys: SigningKeyRing };

  constructor(place: { readonly name: string; readonly redis: RedisClient; readonly keys: SigningKeyRing }) {
    this.#place = place;
  }

  async addClient(clientId: string): Promise<void> {
    const { name, redis } = this.#place;
    await redis.set(clientKey(clientId), JSON.stringify({ hostname: name, client_id: clientId }));
  }

  /** With its record and the identity of its grant, unless they are not wanted. */
  async token(wanted: Minted = {}): Promise<string> {
    const { sub = "octocat", uid = "github:583231", scope = "user mcp", clientId = CLIENT } = wanted;
    const { active } = this.#place.keys.current;
    const origin = `https://${this.#place.name}`;
    const iat = Math.floor(Date.now() / 1000);
    const claims = {
      iss: origin,
      sub,
      uid,
      aud: [`${origin}/mcp`],
      client_id: clientId,
      scope,
      jti: randomUUID(),
      iat,
      exp: iat + (wanted.lifetime ?? 1800),
      ...(wanted.email === undefined ? { email: "octocat@github.com" } : { email: wanted.email }),
      ...wanted.claims,
    };
    if (wanted.isRecorded !== false) await this.record(claims, wanted);
    return await new SignJWT(claims)
      .setProtectedHeader({ alg: "RS256", typ: "at+jwt", kid: active.kid, ...wanted.header })
      .sign(wanted.key ?? active.privateKey);
  }

  async record(claims: Record<string, unknown>, { organisations = [] }: Minted = {}): Promise<void> {
    const { name, redis } = this.#place;
    const grant = randomUUID();
    const { iss, sub, uid, client_id, scope, jti, iat } = claims;
    const aud = [claims["aud"] ?? []].flat();
    const exp = typeof claims["exp"] === "number" ? claims["exp"] : Number(iat) + 1800;
    const record = { hostname: name, jti, sub, uid, client_id, scope, aud, iss, iat, exp, grant_id: grant };
    const identity = {
      hostname: name,
      uid,
      login: sub,
      email: claims["email"],
      email_verified: false,
      organisations,
      teams: [],
      checked_at: iat,
    };
    await redis.set(grantIdentityKey(grant), JSON.stringify(identity));
    const seconds = Math.max(1, exp - Number(iat));
    await redis.set(tokenKey(String(jti)), JSON.stringify(record), "EX", seconds);
  }
}
