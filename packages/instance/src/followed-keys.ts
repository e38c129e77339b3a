import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { TrackedKeys } from "@gatehouse/shared/redis-tracking";
import { readText } from "@gatehouse/shared/stored-text";

export interface FollowedKeysOptions {
  readonly url: string;
  readonly hostname: Hostname;
  readonly log: RecordLog;
  /** By key: told each value that was read, null for an absent key; a key of the wrong type as {@link readText} tells it. Told again, unchanged ones too, whenever a key is read again. */
  readonly keys: ReadonlyMap<string, (value: string | null) => void>;
}

/** A read that failed on a live connection (LOADING, a command timeout) is tried again after this. */
const RETRY_MS = 250;

/**
 * A few exact keys, followed: read when tracking is armed and again at each invalidation, so that what was told last is what stands
 * there, within milliseconds. While the store is away nothing is told and the last values hold.
 */
export class FollowedKeys {
  readonly #options: FollowedKeysOptions;
  readonly #tracked: TrackedKeys;
  /** Keys with a read under way; true when it has to be followed by another. */
  readonly #reading = new Map<string, boolean>();
  readonly #unread: Set<string>;
  readonly #read = Promise.withResolvers<void>();
  readonly #lost = Promise.withResolvers<void>();
  #isLost = false;
  #isClosed = false;

  constructor(options: FollowedKeysOptions) {
    this.#options = options;
    this.#unread = new Set(options.keys.keys());
    this.#tracked = new TrackedKeys({
      url: options.url,
      clientName: `gatehouse-instance-${options.hostname}`,
      prefixes: [...options.keys.keys()],
      onArmed: () => this.#armed(),
      onInvalidated: (keys) => this.#invalidated(keys),
      onLost: (reason) => this.#storeLost(reason),
    });
  }

  /** Settles when every key was read once. */
  get whenRead(): Promise<void> {
    return this.#read.promise;
  }

  /** Settles when the store was away for the first time. */
  get whenLost(): Promise<void> {
    return this.#lost.promise;
  }

  /** True while what was told last is known to be current. */
  get isFresh(): boolean {
    return this.#tracked.armed && this.#unread.size === 0 && this.#reading.size === 0;
  }

  start(): void {
    this.#tracked.start();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#tracked.close();
  }

  #armed(): void {
    if (this.#isLost) this.#record("store_regained", "store regained");
    this.#isLost = false;
    for (const key of this.#options.keys.keys()) void this.#readKey(key);
  }

  #invalidated(keys: readonly string[] | "all"): void {
    // A prefix also matches longer keys: `proxy:a.example` is the start of `proxy:a.example.org`.
    for (const key of keys === "all" ? this.#options.keys.keys() : keys) {
      if (this.#options.keys.has(key)) void this.#readKey(key);
    }
  }

  #storeLost(reason: string): void {
    this.#isLost = true;
    this.#lost.resolve();
    this.#record("store_lost", `store lost, serving what is known: ${reason}`);
  }

  /** One read at a time per key, so that an older answer can't overtake a newer one. */
  async #readKey(key: string): Promise<void> {
    if (this.#reading.has(key)) {
      this.#reading.set(key, true);
      return;
    }
    do {
      this.#reading.set(key, false);
      await this.#tell(key);
    } while (this.#reading.get(key) === true && !this.#isClosed);
    this.#reading.delete(key);
  }

  async #tell(key: string): Promise<void> {
    let value: string | null;
    try {
      value = await readText(this.#tracked.redis, key);
    } catch {
      // A lost connection is told by `onLost` and read anew when armed; a live one that failed gets another try.
      if (this.#tracked.armed) setTimeout(() => void this.#readKey(key), RETRY_MS).unref();
      return;
    }
    if (this.#isClosed) return;
    this.#options.keys.get(key)?.(value);
    this.#unread.delete(key);
    if (this.#unread.size === 0) this.#read.resolve();
  }

  #record(event: "store_lost" | "store_regained", message: string): void {
    const { log, hostname } = this.#options;
    const level = event === "store_lost" ? "warn" : "info";
    log.write({ time: Date.now(), level, component: "instance", event, hostname, message });
  }
}
