import { identityRecordSchema, type IdentityRecord } from "@gatehouse/shared/identity-record";
import type { Hostname } from "@gatehouse/shared/hostname";
import { KeyReader } from "@gatehouse/shared/key-reader";
import { parseRecord } from "@gatehouse/shared/oauth-record";
import {
  clientKey,
  CLIENT_PREFIX,
  grantIdentityKey,
  TOKEN_PREFIX,
  tokenKey,
} from "@gatehouse/shared/redis-keys";
import { readStrings } from "@gatehouse/shared/redis-servers";
import { TrackedKeys } from "@gatehouse/shared/redis-tracking";
import { tokenRecordSchema } from "@gatehouse/shared/token-record";
import { isDocumentClientId } from "./client-id.ts";
import type { Identity } from "./identity.ts";
import type { TokenClaims } from "./signed-token.ts";

export interface LiveTokensOptions {
  readonly url: string;
  readonly hostname: Hostname;
  /** Records were written, deleted or expired, by the `jti` of tokens and the ids of clients. */
  onChanged(changed: { readonly jtis: readonly string[]; readonly clientIds: readonly string[] }): void;
  /** Whatever was known may have changed: ask again about everything. */
  onDistrust(): void;
}

/** What Redis says about a genuine token. `unknown`: it is away, so nobody can say. */
export type TokenStanding =
  | { readonly state: "live"; readonly identity: Identity | undefined }
  | { readonly state: "revoked" }
  | { readonly state: "unknown" };

/** Reads of one token before a record that is written all the time is believed anyway. */
const MAX_READS = 10;

/**
 * The records behind this host's access tokens, followed by Redis's own invalidations: `oauth:token:{jti}` has to be there, and
 * the client's record where clients have one. Deleting either is the revocation.
 */
export class LiveTokens {
  readonly #options: LiveTokensOptions;
  readonly #tracked: TrackedKeys;
  /** One command for all that requests ask in one turn: a crowd of strangers costs Redis a third of what it would. */
  readonly #reader: KeyReader;
  /** Settles when tracking is armed, or was lost, for the first time: before that nothing is known, not even that Redis is away. */
  readonly #settled = Promise.withResolvers<void>();
  /** Reads under way, by key: an invalidation may overtake the answer, for they come on two connections. */
  readonly #reading = new Map<string, Set<{ isStale: boolean }>>();

  constructor(options: LiveTokensOptions) {
    this.#options = options;
    this.#tracked = new TrackedKeys({
      url: options.url,
      clientName: `gatehouse-tokens-${options.hostname}`,
      prefixes: [TOKEN_PREFIX, CLIENT_PREFIX],
      onArmed: () => {
        this.#distrust();
        this.#settled.resolve();
      },
      onInvalidated: (keys) => this.#invalidated(keys),
      onLost: () => this.#settled.resolve(),
    });
    this.#reader = new KeyReader({ read: (keys) => readStrings(this.#tracked.redis, keys) });
  }

  /** True while a token that was found live is known to be live still, unless told otherwise. */
  get isCurrent(): boolean {
    return this.#tracked.armed;
  }

  start(): void {
    this.#tracked.start();
  }

  async close(): Promise<void> {
    this.#settled.resolve();
    await this.#tracked.close();
  }

  /** Asks Redis about a token; what it answers holds until told otherwise. Never rejects. */
  async ask(token: Pick<TokenClaims, "jti" | "clientId">): Promise<TokenStanding> {
    await this.#settled.promise;
    for (let reads = 1; ; reads += 1) {
      if (!this.#tracked.armed) return { state: "unknown" };
      const read = { isStale: false };
      const forget = this.#watch([tokenKey(token.jti), clientKey(token.clientId)], read);
      try {
        const standing = await this.#read(token);
        if (!read.isStale || reads === MAX_READS) return standing;
      } catch {
        // Lost, loading or too slow: as good as away. What is decided without it is asked again at the next use.
        return { state: "unknown" };
      } finally {
        forget();
      }
    }
  }

  async #read({ jti, clientId }: Pick<TokenClaims, "jti" | "clientId">): Promise<TokenStanding> {
    const { hostname } = this.#options;
    // A client that is its metadata document has no record.
    const hasRecord = !isDocumentClientId(clientId);
    const [text, client] = await Promise.all([
      this.#reader.read(tokenKey(jti)),
      hasRecord ? this.#reader.read(clientKey(clientId)) : undefined,
    ]);
    const record =
      text === undefined ? undefined : parseRecord(text, { hostname, schema: tokenRecordSchema });
    if (record === undefined || record.jti !== jti || (hasRecord && client === undefined))
      return { state: "revoked" };
    // Not followed, and yet no older than the record that names it: a batch is sent when the one before has landed.
    const facts = await this.#reader.read(grantIdentityKey(record.grant_id));
    const identity =
      facts === undefined ? undefined : parseRecord(facts, { hostname, schema: identityRecordSchema });
    return { state: "live", identity: identity?.uid === record.uid ? toIdentity(identity) : undefined };
  }

  #watch(keys: readonly string[], read: { isStale: boolean }): () => void {
    for (const key of keys) {
      const reads = this.#reading.get(key);
      if (reads === undefined) this.#reading.set(key, new Set([read]));
      else reads.add(read);
    }
    return () => {
      for (const key of keys) {
        const reads = this.#reading.get(key);
        reads?.delete(read);
        if (reads?.size === 0) this.#reading.delete(key);
      }
    };
  }

  #invalidated(keys: readonly string[] | "all"): void {
    if (keys === "all") {
      this.#distrust();
      return;
    }
    for (const key of keys) {
      this.#reader.distrust(key);
      for (const read of this.#reading.get(key) ?? []) read.isStale = true;
    }
    this.#options.onChanged({
      jtis: idsBehind(keys, TOKEN_PREFIX),
      clientIds: idsBehind(keys, CLIENT_PREFIX),
    });
  }

  #distrust(): void {
    this.#reader.distrustAll();
    for (const reads of this.#reading.values()) for (const read of reads) read.isStale = true;
    this.#options.onDistrust();
  }
}

function idsBehind(keys: readonly string[], prefix: string): readonly string[] {
  return keys.filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length));
}

/** Who it is, without what the record keeps for refreshes. */
function toIdentity(record: IdentityRecord): Identity {
  const { uid, login, email, email_verified: emailVerified, organisations, teams } = record;
  return { uid, login, email, emailVerified, organisations, teams };
}
