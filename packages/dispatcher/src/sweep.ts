import { OpenSet } from "@gatehouse/shared/open-set";

/** Milliseconds between two sweeps: how late a deadline may be seen. */
const INTERVAL_MS = 250;

/** Something with deadlines of its own. */
export interface Swept {
  /** Called at every sweep. `now` is in milliseconds of {@link Sweep.now}. Must not throw. */
  sweep(now: number): void;
}

/**
 * One timer for every deadline of every connection. A timer per connection, moved on each chunk, would cost more than the chunk; here a
 * chunk costs one read of `now`, and ten thousand entries a tenth of a millisecond per sweep.
 */
export class Sweep {
  /** Monotonic milliseconds as of the last sweep: coarse, and free to read. */
  now = performance.now();
  readonly #entries = new OpenSet<Swept>();
  readonly #timer: NodeJS.Timeout;

  constructor() {
    this.#timer = setInterval(() => this.#run(), INTERVAL_MS).unref();
  }

  /** Returns its place, which {@link delete} wants back. */
  add(entry: Swept): number {
    return this.#entries.add(entry);
  }

  delete(place: number): void {
    this.#entries.delete(place);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #run(): void {
    this.now = performance.now();
    for (const entry of this.#entries) entry.sweep(this.now);
  }
}
