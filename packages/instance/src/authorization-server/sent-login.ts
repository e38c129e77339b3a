import { randomBytes } from "node:crypto";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import * as z from "zod";
import type { Hostname } from "@gatehouse/shared/hostname";
import { parseRecord } from "@gatehouse/shared/oauth-record";
import { loginKey } from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";

const recordSchema = z.object({ hostname: z.string(), sealed: z.string() });

const sentLoginSchema = z.object({
  uid: z.string(),
  client_id: z.string(),
  requested_scopes: z.array(z.string()).optional(),
  provider: z.enum(["github", "oidc"]),
  code_verifier: z.string(),
  needs_membership: z.boolean(),
});

/** A login on its way to the identity provider and back. */
export interface SentLogin {
  /** Of the authorization that waits. */
  readonly uid: string;
  readonly clientId: string;
  readonly requestedScopes: readonly string[] | undefined;
  readonly provider: "github" | "oidc";
  readonly codeVerifier: string;
  readonly needsMembership: boolean;
}

/** 256 bits. */
const RANDOM_BYTES = 32;
const STATE_FORM = /^[\w-]{43}$/;

/** Returns a fresh `state` or PKCE verifier: 43 characters (RFC 7636 section 4.1). */
export function randomValue(): string {
  return randomBytes(RANDOM_BYTES).toString("base64url");
}

/**
 * Logins that were approved and sent off, by their `state`: under its hash and sealed, so that a dump of Redis neither completes nor
 * explains one. Each can be taken once.
 */
export class SentLogins {
  readonly #redis: RedisClient;
  readonly #hostname: Hostname;
  readonly #sealing: SealingKeys;
  readonly #seconds: number;

  constructor(options: { redis: RedisClient; hostname: Hostname; sealing: SealingKeys; seconds: number }) {
    this.#redis = options.redis;
    this.#hostname = options.hostname;
    this.#sealing = options.sealing;
    this.#seconds = options.seconds;
  }

  /** Keeps a login under its `state` for as long as it may take. Rejects when Redis does: then the browser must not be sent. */
  async keep(state: string, login: SentLogin): Promise<void> {
    const key = loginKey(state);
    const content: z.infer<typeof sentLoginSchema> = {
      uid: login.uid,
      client_id: login.clientId,
      ...(login.requestedScopes === undefined ? {} : { requested_scopes: [...login.requestedScopes] }),
      provider: login.provider,
      code_verifier: login.codeVerifier,
      needs_membership: login.needsMembership,
    };
    const record = { hostname: this.#hostname, sealed: this.#sealing.seal(key, JSON.stringify(content)) };
    await this.#redis.set(key, JSON.stringify(record), "EX", this.#seconds);
  }

  /** Returns the login of this `state` and forgets it, atomically; undefined when there is none (any more). */
  async take(state: string): Promise<SentLogin | undefined> {
    if (!STATE_FORM.test(state)) return undefined;
    const key = loginKey(state);
    const text = await this.#redis.getdel(key);
    if (text === null) return undefined;
    const record = parseRecord(text, { hostname: this.#hostname, schema: recordSchema });
    const opened = record && this.#sealing.open(key, record.sealed);
    if (opened === undefined) return undefined;
    const content = sentLoginSchema.parse(JSON.parse(opened.toString()));
    return {
      uid: content.uid,
      clientId: content.client_id,
      requestedScopes: content.requested_scopes,
      provider: content.provider,
      codeVerifier: content.code_verifier,
      needsMembership: content.needs_membership,
    };
  }
}
