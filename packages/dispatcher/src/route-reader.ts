import { setImmediate as nextTurn } from "node:timers/promises";

/** Names in one MGET: large enough that its cost per name vanishes, small enough to keep Redis and this process under a millisecond or two. */
const MAX_BATCH = 500;

export interface RouteReaderOptions {
  /** Reads the values of these names; null for one that has none. Rejects while Redis is away. */
  read(names: readonly string[]): Promise<readonly (string | null)[]>;
  /** The memory's generation now; asked when a batch is sent. */
  generation(): number;
  /** Takes a value that nothing has contradicted since it was asked for. */
  onRead(name: string, text: string | undefined, generation: number): void;
}

type Flight = PromiseWithResolvers<string | undefined>;

/**
 * Reads route values, each name at most once at a time, and all that gather while one batch is in the air as the next batch: under load
 * the work per name shrinks instead of the queue growing.
 */
export class RouteReader {
  readonly #options: RouteReaderOptions;
  #gathered = new Map<string, Flight>();
  /** Names of the batch that was sent. An entry that was taken out by {@link distrust} is not to be kept when it lands. */
  readonly #airborne = new Map<string, Flight>();
  #isPumping = false;

  constructor(options: RouteReaderOptions) {
    this.#options = options;
  }

  /**
   * Returns the value of a name, undefined when it has none: as fresh as every invalidation that has arrived before this call.
   * @throws what `read` rejects with.
   */
  async read(name: string): Promise<string | undefined> {
    let flight = this.#airborne.get(name) ?? this.#gathered.get(name);
    if (flight === undefined) {
      flight = Promise.withResolvers();
      this.#gathered.set(name, flight);
      void this.#pump();
    }
    return await flight.promise;
  }

  /**
   * The key was written: an answer in the air may be older than that. Redis sends invalidations on another connection than answers, so
   * one may overtake the other; whoever asked before still gets the older value, nobody keeps it.
   */
  distrust(name: string): void {
    this.#airborne.delete(name);
  }

  /** As {@link distrust} for every name. */
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
    for (const [name, flight] of this.#gathered) {
      if (batch.size === MAX_BATCH) break;
      batch.set(name, flight);
      this.#gathered.delete(name);
    }
    return batch;
  }

  async #send(batch: ReadonlyMap<string, Flight>): Promise<void> {
    for (const [name, flight] of batch) this.#airborne.set(name, flight);
    const generation = this.#options.generation();
    try {
      const texts = await this.#options.read([...batch.keys()]);
      let at = 0;
      for (const [name, flight] of batch) {
        const text = texts[at++] ?? undefined;
        if (this.#airborne.get(name) === flight) this.#options.onRead(name, text, generation);
        flight.resolve(text);
      }
    } catch (error) {
      for (const flight of batch.values()) flight.reject(error);
    } finally {
      this.#airborne.clear();
    }
  }
}
