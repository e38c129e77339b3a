import type { KeyObject } from "node:crypto";
import {
  openSigningKeys,
  readSigningKeys,
  SigningKeyError,
  type PublicSigningKey,
  type SigningKeyPlace,
  type SigningKeySet,
} from "@gatehouse/shared/signing-key-record";
import { signingKeyKey } from "@gatehouse/shared/redis-keys";

/** What signs and what verifies right now. */
export interface SigningKeys {
  readonly active: { readonly kid: string; readonly privateKey: KeyObject };
  /** The active key and the retired ones whose tokens have not all ended: the content of `/jwks`. */
  readonly public: readonly PublicSigningKey[];
}

export interface SigningKeyRingOptions extends SigningKeyPlace {
  /** The document as the instance last knew it, for a start while Redis is away. */
  readonly copy?: string | null;
}

/**
 * The hostname's signing keys in memory. Whoever follows the process's Redis keys tells {@link SigningKeyRing.told} each value of
 * {@link SigningKeyRing.key}; a rotation is then live on every instance within a second.
 */
export class SigningKeyRing {
  /** The Redis key to follow. */
  readonly key: string;
  readonly #options: SigningKeyRingOptions;
  readonly #listeners = new Set<(keys: SigningKeys) => void>();
  #set: SigningKeySet;

  private constructor(options: SigningKeyRingOptions, set: SigningKeySet) {
    this.#options = options;
    this.#set = set;
    this.key = signingKeyKey(options.hostname);
  }

  /**
   * Loads the keys, making them on a hostname's first start.
   * @throws {SigningKeyError} when they can't be opened; whatever Redis threw when it is away and there is no copy.
   */
  static async open(options: SigningKeyRingOptions): Promise<SigningKeyRing> {
    const { copy } = options;
    try {
      return new SigningKeyRing(options, await openSigningKeys(options));
    } catch (error) {
      if (error instanceof SigningKeyError || copy === undefined || copy === null) throw error;
      return new SigningKeyRing(options, readSigningKeys(copy, options));
    }
  }

  get current(): SigningKeys {
    const now = Math.floor(Date.now() / 1000);
    const { active, retired } = this.#set;
    const verifying = retired.filter((entry) => entry.expiresAt > now).map((entry) => entry.public);
    return { active, public: [active.public, ...verifying] };
  }

  /** Calls the listener after each change of the keys; returns what ends that. */
  onChange(listener: (keys: SigningKeys) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Takes the document that stands in Redis now. An absent one changes nothing: tokens of the known keys go on being good, and
   * the next start makes a new document. Returns the problem of one that can't be used; the keys in memory stay then, too.
   */
  told(text: string | null): string | undefined {
    if (text === null || text === this.#set.text) return undefined;
    try {
      this.#set = readSigningKeys(text, this.#options);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    for (const listener of this.#listeners) listener(this.current);
    return undefined;
  }
}
