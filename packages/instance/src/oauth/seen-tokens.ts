import type { VerifiedToken } from "./access-token.ts";

export interface SeenToken {
  token: VerifiedToken;
  /** False when Redis did not say so since it was last away: to be asked at the next use. */
  isConfirmed: boolean;
}

/** Tokens that were found good, by the hash of their text; bounded, the one used longest ago goes first. */
export class SeenTokens {
  readonly #max: number;
  /** In the order of their last use. */
  readonly #byHash = new Map<string, SeenToken>();
  readonly #hashByJti = new Map<string, string>();
  readonly #jtisByClient = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#max = max;
  }

  get size(): number {
    return this.#byHash.size;
  }

  /** Returns the entry without counting as a use. */
  get(hash: string): SeenToken | undefined {
    return this.#byHash.get(hash);
  }

  find(jti: string): SeenToken | undefined {
    const hash = this.#hashByJti.get(jti);
    return hash === undefined ? undefined : this.#byHash.get(hash);
  }

  jtisOf(clientId: string): readonly string[] {
    return [...(this.#jtisByClient.get(clientId) ?? [])];
  }

  used(hash: string, entry: SeenToken): void {
    this.#byHash.delete(hash);
    this.#byHash.set(hash, entry);
  }

  add(hash: string, entry: SeenToken): void {
    const { jti, clientId } = entry.token;
    this.used(hash, entry);
    this.#hashByJti.set(jti, hash);
    const jtis = this.#jtisByClient.get(clientId);
    if (jtis === undefined) this.#jtisByClient.set(clientId, new Set([jti]));
    else jtis.add(jti);
    if (this.#byHash.size <= this.#max) return;
    for (const oldest of this.#byHash.values()) {
      this.delete(oldest.token.jti);
      break;
    }
  }

  delete(jti: string): void {
    const hash = this.#hashByJti.get(jti);
    const entry = hash === undefined ? undefined : this.#byHash.get(hash);
    if (hash === undefined || entry === undefined) return;
    this.#byHash.delete(hash);
    this.#hashByJti.delete(jti);
    const jtis = this.#jtisByClient.get(entry.token.clientId);
    jtis?.delete(jti);
    if (jtis?.size === 0) this.#jtisByClient.delete(entry.token.clientId);
  }

  /** Redis was away, or told that everything changed. */
  distrust(): void {
    for (const entry of this.#byHash.values()) entry.isConfirmed = false;
  }

  clear(): void {
    this.#byHash.clear();
    this.#hashByJti.clear();
    this.#jtisByClient.clear();
  }
}
