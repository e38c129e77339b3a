import { randomBytes } from "node:crypto";
import { Provider, errors, type Adapter } from "oidc-provider";
import * as z from "zod";
import { readRecord, replaceRecord, type StoredRecord } from "@gatehouse/shared/oauth-record";
import { revokeGrant } from "@gatehouse/shared/oauth-revocation";
import { refreshTokenKey } from "@gatehouse/shared/redis-keys";
import { unusedMethods, withoutBearer } from "./adapter-model.ts";
import { EngineRequest } from "./engine-exchange.ts";
import { nowSeconds, type OAuthStore } from "./oauth-store.ts";

/** Octets of a refresh token: as many as the engine gives the first of a family. */
const TOKEN_BYTES = 32;

/** Each lost race shows the winner's mark at the next look, so the second attempt decides; more would be a fault of ours. */
const MAX_ATTEMPTS = 5;

const schema = z.object({
  hostname: z.string(),
  payload: z.looseObject({}),
  grant_id: z.string(),
  /** Milliseconds since the epoch: when it was exchanged for its successor. */
  used_at: z.number().optional(),
  /** The successor's value, sealed under this record's key. */
  successor: z.string().optional(),
});
type RefreshRecord = z.infer<typeof schema>;

/**
 * Refuses a token request whose client has hung up. A request that a network held up arrives after its client gave up and asked again,
 * often when the successor is in use: a replay by all appearances, but nobody's, for nobody hears the answer.
 */
function refuseWhoLeft(): void {
  const request = Provider.ctx?.req;
  if (request instanceof EngineRequest && request.hasLeft())
    throw new errors.InvalidGrant("the client has left");
}

/**
 * Refresh tokens and their rotation (OAuth 2.1 section 4.3.1). A token has one successor. Clients lose answers and refresh from
 * several processes at once, so a used token shows the same successor again for a short while, as long as that one was not used
 * itself; any later use means that two parties hold the family, and ends it.
 */
export class RefreshTokens {
  readonly adapter: Adapter;
  readonly #store: OAuthStore;
  /** By the token model that was rotated: the engine makes the next one without naming the last. */
  readonly #successors = new WeakMap<object, string>();

  constructor(store: OAuthStore) {
    this.#store = store;
    this.adapter = this.#makeAdapter();
  }

  /** Makes the engine's own model rotate the way described above. */
  install(provider: Provider): void {
    const { prototype } = provider.RefreshToken;
    const rotate = async (token: string): Promise<string> => await this.#rotate(token);
    const successors = this.#successors;
    prototype.consume = async function consume() {
      successors.set(this, await rotate(this.jti));
    };
    // Not in the type declarations; the engine calls it for a token that has no id yet.
    const { generateTokenId } = prototype as unknown as { generateTokenId: (this: object) => string };
    Object.defineProperty(prototype, "generateTokenId", {
      value(this: object): string {
        const rotated = Provider.ctx?.oidc.entities.RotatedRefreshToken;
        const successor = rotated === undefined ? undefined : successors.get(rotated);
        return successor ?? generateTokenId.call(this);
      },
    });
  }

  #makeAdapter(): Adapter {
    const { redis, hostname, lifetimes } = this.#store;
    return {
      ...unusedMethods("RefreshToken"),
      upsert: async (token, payload, expiresIn) => {
        const { payload: kept, grantId } = withoutBearer(payload);
        const key = refreshTokenKey(token);
        const seconds = expiresIn ?? lifetimes.refreshToken;
        const record: RefreshRecord = { hostname, payload: kept, grant_id: grantId };
        // NX: of several who show one predecessor each writes the same successor, which may have been used by then.
        const answer = await redis.set(key, JSON.stringify(record), "EX", seconds, "NX");
        if (answer !== null) await this.#store.joinGrant(grantId, key, seconds);
      },
      find: async (token) => {
        const stored = await this.#read(token);
        if (stored === undefined) return undefined;
        const { value } = stored;
        const isSpent = value.used_at !== undefined && !(await this.#isInGrace(token, value));
        if (isSpent) refuseWhoLeft();
        // Within the grace the engine is told of an unused token, and asks to rotate it once more.
        return { ...value.payload, jti: token, ...(isSpent ? { consumed: nowSeconds() } : {}) };
      },
      destroy: async (token) => {
        await redis.del(refreshTokenKey(token));
      },
      revokeByGrantId: async () => {
        // All members of a grant end together, see the adapter of access tokens.
      },
    };
  }

  async #read(token: string): Promise<StoredRecord<RefreshRecord> | undefined> {
    return await readRecord(this.#store.redis, refreshTokenKey(token), {
      hostname: this.#store.hostname,
      schema,
    });
  }

  /** Returns the one successor of a token, choosing it when the token was not used yet. */
  async #rotate(token: string): Promise<string> {
    const { redis, sealing } = this.#store;
    const key = refreshTokenKey(token);
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
      const stored = await this.#read(token);
      if (stored === undefined) throw new errors.InvalidGrant("refresh token not found");
      refuseWhoLeft();
      const { value, text } = stored;
      if (value.used_at !== undefined) {
        const successor = (await this.#isInGrace(token, value)) ? this.#successorOf(token, value) : undefined;
        if (successor !== undefined) return successor;
        await revokeGrant(redis, value.grant_id);
        throw new errors.InvalidGrant("refresh token already used");
      }
      const successor = randomBytes(TOKEN_BYTES).toString("base64url");
      const used: RefreshRecord = { ...value, used_at: Date.now(), successor: sealing.seal(key, successor) };
      if (await replaceRecord(redis, key, { from: text, to: JSON.stringify(used) })) return successor;
    }
    throw new Error("a refresh token was changed by others more often than can be");
  }

  async #isInGrace(token: string, record: RefreshRecord): Promise<boolean> {
    const { used_at: usedAt = 0 } = record;
    if (Date.now() - usedAt > this.#store.lifetimes.refreshGrace * 1000) return false;
    const successor = this.#successorOf(token, record);
    if (successor === undefined) return false;
    // Absent: whoever chose it is still about to write it. After a revocation the grant is gone too, which the engine checks.
    return (await this.#read(successor))?.value.used_at === undefined;
  }

  #successorOf(token: string, record: RefreshRecord): string | undefined {
    const { successor } = record;
    return successor === undefined
      ? undefined
      : this.#store.sealing.open(refreshTokenKey(token), successor)?.toString();
  }
}
