import type { KeyObject } from "node:crypto";
import {
  openSigningKeys,
  readSigningKeys,
  type PublicSigningKey,
  type SigningKeyPlace,
  type SigningKeySet,
} from "@gatehouse/shared/signing-key-record";
import { signingKeyKey } from "@gatehouse/shared/redis-keys";
import { readStateFile, writeStateFile } from "@gatehouse/shared/state-file";

/** What signs and what verifies right now. */
export interface SigningKeys {
  readonly active: { readonly kid: string; readonly privateKey: KeyObject };
  /** The active key and the retired ones whose tokens have not all ended: the content of `/jwks`. */
  readonly public: readonly PublicSigningKey[];
}

export interface SigningKeyRingOptions extends SigningKeyPlace {
  /** Holds a copy, sealed as in Redis, from which an instance starts while Redis is away. */
  readonly stateFile?: string;
}

/**
 * The hostname's signing keys in memory. The owner of the process's `TrackedKeys` calls {@link SigningKeyRing.refresh} when
 * {@link SigningKeyRing.key} is invalidated or tracking is armed anew; a rotation is live on every instance within a second.
 */
export class SigningKeyRing {
  /** The Redis key to follow. */
  readonly key: string;
  readonly #options: SigningKeyRingOptions;
  readonly #listeners = new Set<(keys: SigningKeys) => void>();
  #set: SigningKeySet;
  #refreshing: Promise<void> | undefined;
  #isStale = false;

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
    let set: SigningKeySet;
    try {
      set = await openSigningKeys(options);
    } catch (error) {
      const copy = options.stateFile === undefined ? undefined : await readStateFile(options.stateFile);
      if (copy === undefined || options.redis.status === "ready") throw error;
      return new SigningKeyRing(options, readSigningKeys(copy, options));
    }
    const ring = new SigningKeyRing(options, set);
    await ring.#keepCopy();
    return ring;
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
   * Reads the keys again. Calls during a read share one more read after it, because the one that runs may already have missed
   * the change. Rejects when Redis is away or the keys can't be opened; the ones in memory stay.
   */
  async refresh(): Promise<void> {
    this.#isStale = true;
    this.#refreshing ??= this.#reload().finally(() => {
      this.#refreshing = undefined;
    });
    await this.#refreshing;
  }

  async #reload(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      // Also after a deletion: the keys in memory are then written nowhere, and new ones must be made for all instances alike.
      const set = await openSigningKeys(this.#options);
      if (set.text === this.#set.text) continue;
      this.#set = set;
      for (const listener of this.#listeners) listener(this.current);
      await this.#keepCopy();
    }
  }

  async #keepCopy(): Promise<void> {
    const { stateFile } = this.#options;
    if (stateFile !== undefined) await writeStateFile(stateFile, this.#set.text);
  }
}
