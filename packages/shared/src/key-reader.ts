import { setImmediate as nextTurn } from "node:timers/promises";

/** Keys in one read: large enough that its cost per key vanishes, small enough to keep Redis and this process under a millisecond or two. */
const MAX_BATCH = 500;

/** Takes a value, undefined for a key that has none. */
type Keep = (key: string, text: string | undefined) => void;

export interface KeyReaderOptions {
  /** Reads the values of these keys; null for one that has none. Rejects while Redis is away. */
  read(keys: readonly string[]): Promise<readonly (string | null)[]>;
  /** Called when a batch is sent; what it returns is given each of its values that nothing has contradicted since then. */
  onSend?(): Keep;
}

type Flight = PromiseWithResolvers<string | undefined>;

/**
 * Reads values of keys whose changes are followed, each key at most once at a time, and all that gather while one batch is in the air
 * as the next batch: under load the work per key shrinks instead of the queue growing.
 */
export class KeyReader {
  readonly #options: KeyReaderOptions;
  #gathered = new Map<string, Flight>();
  /** Keys of the batch that was sent. An entry that was taken out by {@link distrust} is not to be kept when it lands. */
  readonly #airborne = new Map<string, Flight>();
  #isPumping = false;

  constructor(options: KeyReaderOptions) {
    this.#options = options;
  }

  /**
   * Returns the value of a key, undefined when it has none: as fresh as every invalidation that has arrived before this call.
   * @throws what `read` rejects with.
   */
  async read(key: string): Promise<string | undefined> {
    let flight = this.#airborne.get(key) ?? this.#gathered.get(key);
    if (flight === undefined) {
      flight = Promise.withResolvers();
      this.#gathered.set(key, flight);
      void this.#pump();
    }
    return await flight.promise;
  }

  /**
   * The key was written: an answer in the air may be older than that. Redis sends invalidations on another connection than answers, so
   * one may overtake the other; whoever asked before still gets the older value, nobody keeps it.
   */
  distrust(key: string): void {
    this.#airborne.delete(key);
  }

  /** As {@link distrust} for every key. */
  distrustAll(): void {
    this.#airborne.clear();
  }

  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    // All that this turn of the event loop asks for goes out together.
    await nextTurn();
    while (this.#gathered.size > 0) await this.#send(this.#take());
    this.#isPumping = false;
  }

  #take(): Map<string, Flight> {
    if (this.#gathered.size <= MAX_BATCH) {
      const all = this.#gathered;
      this.#gathered = new Map();
      return all;
    }
    const batch = new Map<string, Flight>();
    for (const [key, flight] of this.#gathered) {
      if (batch.size === MAX_BATCH) break;
      batch.set(key, flight);
      this.#gathered.delete(key);
    }
    return batch;
  }

  async #send(batch: ReadonlyMap<string, Flight>): Promise<void> {
    for (const [key, flight] of batch) this.#airborne.set(key, flight);
    const keep = this.#options.onSend?.();
    try {
      const texts = await this.#options.read([...batch.keys()]);
      let at = 0;
      for (const [key, flight] of batch) {
        const text = texts[at++] ?? undefined;
        if (this.#airborne.get(key) === flight) keep?.(key, text);
        flight.resolve(text);
      }
    } catch (error) {
      for (const flight of batch.values()) flight.reject(error);
    } finally {
      this.#airborne.clear();
    }
  }
}
