import { createPublicKey, type KeyObject } from "node:crypto";
import { OpenSet } from "@gatehouse/shared/open-set";
import { bearerHash } from "@gatehouse/shared/redis-keys";
import type { PublicSigningKey } from "@gatehouse/shared/signing-key-record";
import type { Identity } from "./identity.ts";
import type { LiveTokens, LiveTokensOptions } from "./live-tokens.ts";
import { SeenTokens } from "./seen-tokens.ts";
import { readSignedToken, type BearerProblem, type TokenClaims } from "./signed-token.ts";
import type { SigningKeyRing } from "./signing-key.ts";

/** A token that is genuine, current and not revoked as far as can be known. */
export interface VerifiedToken extends TokenClaims {
  /** Who stands behind its grant, with memberships; undefined when Redis was away and only the token itself could be asked. */
  readonly identity: Identity | undefined;
}

export interface TokenVerifierOptions {
  /** The issuer: this host's origin. */
  readonly issuer: string;
  readonly keys: Pick<SigningKeyRing, "current" | "onChange">;
  /** Makes the records' side, told what to call when they change. */
  readonly live: (listeners: Pick<LiveTokensOptions, "onChanged" | "onDistrust">) => LiveTokens;
  /** Told the `jti` of a followed token that was revoked; not of one that has simply ended. */
  readonly onRevoked: (jti: string) => void;
  /** Most tokens kept. Default 10,000: some 10 MB, and far more than a host has in use at once. */
  readonly maxTokens?: number;
}

type Verdict = VerifiedToken | BearerProblem;

const MAX_TOKENS = 10_000;
const MAX_REVOKED = 10_000;
/** Seconds around its end in which a record that is gone means the end, not a revocation. */
const END_LEEWAY_SECONDS = 2;

/**
 * Decides whether an access token is good, and remembers it: a token that was seen costs a hash and a look-up, no other crypto and
 * no round trip. It is kept under its SHA-256, so that no usable token lies in memory longer than its request. Refusals are never
 * kept. While Redis is away seen tokens stay good and unseen ones are good by their signature (contract section 3).
 */
export class TokenVerifier {
  readonly #options: TokenVerifierOptions;
  readonly #live: LiveTokens;
  readonly #stopListening: () => void;
  readonly #seen: SeenTokens;
  readonly #asking = new Map<string, Promise<Verdict>>();
  /** Ends of tokens that are known to be revoked, by `jti`: should Redis go away, their signature must not bring them back. */
  readonly #revoked = new Map<string, number>();
  /** What open exchanges stand on: a token for each. */
  readonly #followed = new OpenSet<VerifiedToken>();
  #keys: ReadonlyMap<string, KeyObject>;

  constructor(options: TokenVerifierOptions) {
    this.#options = options;
    this.#seen = new SeenTokens(options.maxTokens ?? MAX_TOKENS);
    this.#keys = keyObjects(options.keys.current.public);
    this.#stopListening = options.keys.onChange((keys) => {
      this.#keys = keyObjects(keys.public);
      this.#seen.clear();
    });
    this.#live = options.live({
      onChanged: ({ jtis, clientIds }) => this.#changed(jtis, clientIds),
      onDistrust: () => this.#distrust(),
    });
  }

  start(): void {
    this.#live.start();
  }

  async close(): Promise<void> {
    this.#stopListening();
    await this.#live.close();
  }

  /** Tokens that are remembered just now. */
  get size(): number {
    return this.#seen.size;
  }

  /** Decides about one token, at once when it was seen before; never rejects. Its audience is still to be judged. */
  verify(token: string): Verdict | Promise<Verdict> {
    const now = Math.floor(Date.now() / 1000);
    const hash = bearerHash(token);
    const entry = this.#seen.get(hash);
    if (entry !== undefined) {
      if (entry.token.exp <= now) {
        this.#seen.delete(entry.token.jti);
        return { problem: "expired" };
      }
      if (entry.isConfirmed || !this.#live.isCurrent) {
        this.#seen.used(hash);
        return entry.token;
      }
    }
    const asking = this.#asking.get(hash);
    if (asking !== undefined) return asking;
    const claims =
      entry?.token ?? readSignedToken(token, { issuer: this.#options.issuer, keys: this.#keys, now });
    return "problem" in claims ? claims : this.#ask(hash, claims);
  }

  /** Watches a token for an exchange that is open; call what is returned, once, when that is over. */
  follow(token: VerifiedToken): () => void {
    const place = this.#followed.add(token);
    return () => this.#followed.delete(place);
  }

  /** True when it is known that a genuine token was revoked. */
  isRevoked(jti: string): boolean {
    return this.#revoked.has(jti);
  }

  /** One question per token at a time, however many requests wait for it. */
  #ask(hash: string, claims: TokenClaims): Promise<Verdict> {
    const keys = this.#keys;
    const asking = this.#live.ask(claims).then((standing): Verdict => {
      this.#asking.delete(hash);
      if (standing.state === "revoked") this.#revoke(claims);
      if (standing.state === "live") this.#revoked.delete(claims.jti);
      if (this.isRevoked(claims.jti)) return { problem: "revoked" };
      const isConfirmed = standing.state === "live";
      const identity = isConfirmed ? standing.identity : this.#seen.get(hash)?.token.identity;
      const token: VerifiedToken = { ...claims, identity };
      // Keys that changed meanwhile have emptied what is remembered; this answer belongs to the time before.
      if (keys === this.#keys) this.#seen.add(hash, { token, isConfirmed });
      return token;
    });
    this.#asking.set(hash, asking);
    return asking;
  }

  /** Own tokens among those whose records changed are asked about at once; until there is an answer they stay what they were. */
  #changed(jtis: readonly string[], clientIds: readonly string[]): void {
    const seen = [...jtis, ...clientIds.flatMap((clientId) => this.#seen.jtisOf(clientId))];
    const changed = new Map(seen.map((jti) => [jti, this.#seen.find(jti)?.token]));
    const ofClients = new Set(clientIds);
    for (const token of this.#followed) {
      if (changed.has(token.jti) || ofClients.has(token.clientId)) changed.set(token.jti, token);
    }
    for (const token of changed.values()) if (token !== undefined) void this.#askAgain(token);
  }

  #distrust(): void {
    this.#seen.distrust();
    const followed = new Map([...this.#followed].map((token) => [token.jti, token]));
    for (const token of followed.values()) void this.#askAgain(token);
  }

  #isFollowed(jti: string): boolean {
    for (const token of this.#followed) if (token.jti === jti) return true;
    return false;
  }

  async #askAgain(token: VerifiedToken): Promise<void> {
    const standing = await this.#live.ask(token);
    if (standing.state !== "revoked") {
      const entry = this.#seen.find(token.jti);
      if (entry !== undefined) entry.isConfirmed = standing.state === "live";
      return;
    }
    this.#revoke(token);
    // A long answer outlives its token: that was good when it was asked for.
    const hasEnded = token.exp <= Date.now() / 1000 + END_LEEWAY_SECONDS;
    if (!hasEnded && this.#isFollowed(token.jti)) this.#options.onRevoked(token.jti);
  }

  #revoke({ jti, exp }: TokenClaims): void {
    this.#seen.delete(jti);
    this.#revoked.set(jti, exp);
    if (this.#revoked.size <= MAX_REVOKED) return;
    const now = Date.now() / 1000;
    for (const [ended, end] of this.#revoked) {
      // As many as are over, and at least the one that was revoked first.
      if (end > now && this.#revoked.size <= MAX_REVOKED) break;
      this.#revoked.delete(ended);
    }
  }
}

function keyObjects(keys: readonly PublicSigningKey[]): ReadonlyMap<string, KeyObject> {
  return new Map(keys.map((jwk) => [jwk.kid, createPublicKey({ key: { ...jwk }, format: "jwk" })]));
}
