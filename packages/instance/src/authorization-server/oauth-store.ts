import * as z from "zod";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { clientRecordSchema } from "@gatehouse/shared/client-record";
import { identityRecordSchema, type IdentityRecord } from "@gatehouse/shared/identity-record";
import { readRecord, updateRecord } from "@gatehouse/shared/oauth-record";
import {
  clientGrantsKey,
  clientKey,
  grantIdentityKey,
  grantKey,
  grantMembersKey,
  tokenKey,
} from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { TokenRecord } from "@gatehouse/shared/token-record";
import type { GrantedIdentity } from "../oauth/identity.ts";
import type { Lifetimes } from "../oauth/lifetimes.ts";

/** Where this hostname's OAuth records are, and how long they last. */
export interface OAuthStoreOptions {
  readonly redis: RedisClient;
  readonly hostname: Hostname;
  /** Of this hostname. */
  readonly sealing: SealingKeys;
  readonly lifetimes: Lifetimes;
}

const anyRecord = z.looseObject({ hostname: z.string() });

/**
 * What several endpoints and engine models share about the records of one hostname. A record that ends with a grant is written
 * first and put on the grant's list, then the grant is looked for: see `revokeGrant` for why that order holds in every race.
 */
export class OAuthStore {
  readonly redis: RedisClient;
  readonly hostname: Hostname;
  readonly sealing: SealingKeys;
  readonly lifetimes: Lifetimes;

  constructor(options: OAuthStoreOptions) {
    this.redis = options.redis;
    this.hostname = options.hostname;
    this.sealing = options.sealing;
    this.lifetimes = options.lifetimes;
  }

  /** Tells whether this hostname has a record under that key. */
  async has(key: string): Promise<boolean> {
    return (await readRecord(this.redis, key, { hostname: this.hostname, schema: anyRecord })) !== undefined;
  }

  /** Writes a grant, and files it under its client. It lives on with what is issued on it. */
  async saveGrant(grantId: string, payload: { clientId: string }): Promise<void> {
    const { redis, hostname, lifetimes } = this;
    const grants = clientGrantsKey(hostname, payload.clientId);
    const now = nowSeconds();
    await redis.zremrangebyscore(grants, "-inf", now);
    await redis.zadd(grants, now + lifetimes.grant, grantId);
    await redis.expire(grants, lifetimes.grant);
    const seconds = lifetimes.code + lifetimes.accessToken;
    await redis.set(grantKey(grantId), JSON.stringify({ hostname, payload }), "EX", seconds);
  }

  /**
   * Files a record (its Redis key) under its grant and lets the grant live at least as long; call it after the record was
   * written. False when the grant was revoked meanwhile: the record is gone again then.
   */
  async joinGrant(grantId: string, key: string, seconds: number): Promise<boolean> {
    const { redis } = this;
    const members = grantMembersKey(grantId);
    const now = nowSeconds();
    await redis.zremrangebyscore(members, "-inf", now);
    await redis.zadd(members, now + seconds, key);
    for (const lasting of [members, grantIdentityKey(grantId), grantKey(grantId)]) {
      // GT takes a key without a time to live for an endless one, hence NX for the list that was just made.
      if (lasting === members) await redis.expire(lasting, seconds, "NX");
      await redis.expire(lasting, seconds, "GT");
    }
    if ((await redis.exists(grantKey(grantId))) === 1) return true;
    await redis.del(key);
    await redis.del(members);
    return false;
  }

  /** Keeps who stands behind a new grant, for its refreshes. */
  async saveIdentity(grantId: string, granted: GrantedIdentity): Promise<void> {
    const record = this.#identityRecord(grantId, granted);
    const seconds = this.lifetimes.code + this.lifetimes.accessToken;
    await this.redis.set(grantIdentityKey(grantId), record, "EX", seconds);
  }

  /** Replaces it; not when the grant was revoked meanwhile. Its time to live follows the grant's, whatever else runs. */
  async updateIdentity(grantId: string, granted: GrantedIdentity): Promise<void> {
    await this.redis.set(grantIdentityKey(grantId), this.#identityRecord(grantId, granted), "KEEPTTL", "XX");
  }

  #identityRecord(grantId: string, { identity, membershipToken, checkedAt }: GrantedIdentity): string {
    const key = grantIdentityKey(grantId);
    const record: IdentityRecord = {
      hostname: this.hostname,
      uid: identity.uid,
      login: identity.login,
      email: identity.email,
      email_verified: identity.emailVerified,
      organisations: [...identity.organisations],
      teams: [...identity.teams],
      checked_at: checkedAt,
      ...(membershipToken === undefined ? {} : { membership_token: this.sealing.seal(key, membershipToken) }),
    };
    return JSON.stringify(record);
  }

  async findIdentity(grantId: string): Promise<GrantedIdentity | undefined> {
    const key = grantIdentityKey(grantId);
    const stored = await readRecord(this.redis, key, {
      hostname: this.hostname,
      schema: identityRecordSchema,
    });
    if (stored === undefined) return undefined;
    const { value } = stored;
    const sealed = value.membership_token;
    return {
      identity: {
        uid: value.uid,
        login: value.login,
        email: value.email,
        emailVerified: value.email_verified,
        organisations: value.organisations,
        teams: value.teams,
      },
      membershipToken: sealed === undefined ? undefined : this.sealing.open(key, sealed)?.toString(),
      checkedAt: value.checked_at,
    };
  }

  /**
   * Writes the record of an access token that is about to be handed out, and counts the use of its client, which renews the
   * client's life. Rejects when Redis does; then the token must not be handed out.
   */
  async recordToken(record: TokenRecord): Promise<void> {
    const seconds = Math.max(1, record.exp - nowSeconds());
    const key = tokenKey(record.jti);
    await this.redis.set(key, JSON.stringify(record), "EX", seconds);
    // A grant that a replay revoked in this instant leaves a token that is already worth nothing; see `revokeGrant`.
    await this.joinGrant(record.grant_id, key, seconds);
    await this.#countUse(record);
  }

  async #countUse(record: TokenRecord): Promise<void> {
    const { redis, hostname, lifetimes } = this;
    await updateRecord(redis, clientKey(record.client_id), {
      hostname,
      schema: clientRecordSchema,
      change: (client) => ({
        ...client,
        usage_count: client.usage_count + 1,
        last_token_issued: record.iat,
      }),
      // Never before its last refresh token, which may live longer than the option for clients says.
      seconds: Math.max(lifetimes.client, lifetimes.refreshToken),
    });
  }
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
