import { RecentMap } from "@gatehouse/shared/recent-map";
import type { VerifiedToken } from "./access-token.ts";

export interface SeenToken {
  token: VerifiedToken;
  /** False when Redis did not say so since it was last away: to be asked at the next use. */
  isConfirmed: boolean;
}

/** Tokens that were found good, by the hash of their text; bounded, one that was not used lately goes first. */
export class SeenTokens {
  readonly #byHash: RecentMap<SeenToken>;
  readonly #hashByJti = new Map<string, string>();
  readonly #jtisByClient = new Map<string, Set<string>>();

  constructor(max: number) {
    this.#byHash = new RecentMap(max);
  }

  get size(): number {
    return this.#byHash.size;
  }

  /** Returns the entry without counting as a use. */
  get(hash: string): SeenToken | undefined {
    return this.#byHash.peek(hash);
  }

  find(jti: string): SeenToken | undefined {
    const hash = this.#hashByJti.get(jti);
    return hash === undefined ? undefined : this.#byHash.peek(hash);
  }

  jtisOf(clientId: string): readonly string[] {
    return [...(this.#jtisByClient.get(clientId) ?? [])];
  }

  used(hash: string): void {
    this.#byHash.get(hash);
  }

  add(hash: string, entry: SeenToken): void {
    const { jti, clientId } = entry.token;
    const dropped = this.#byHash.set(hash, entry);
    this.#hashByJti.set(jti, hash);
    const jtis = this.#jtisByClient.get(clientId);
    if (jtis === undefined) this.#jtisByClient.set(clientId, new Set([jti]));
    else jtis.add(jti);
    if (dropped !== undefined) this.#forget(dropped);
  }

  delete(jti: string): void {
    const hash = this.#hashByJti.get(jti);
    const entry = hash === undefined ? undefined : this.#byHash.peek(hash);
    if (hash === undefined || entry === undefined) return;
    this.#byHash.delete(hash);
    this.#forget(entry);
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

  #forget({ token: { jti, clientId } }: SeenToken): void {
    this.#hashByJti.delete(jti);
    const jtis = this.#jtisByClient.get(clientId);
    jtis?.delete(jti);
    if (jtis?.size === 0) this.#jtisByClient.delete(clientId);
  }
}
