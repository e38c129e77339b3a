import { RecentMap } from "./recent-map.ts";

export interface RateLimitOptions {
  /** How often in `periodMs`, in the long run. At least 1. */
  readonly count: number;
  readonly periodMs: number;
  /** How often at once, after a rest. Default: `count`. */
  readonly burst?: number;
  /** Keys that are remembered; one more forgets one that was not used lately. Default 10,000, about 2 MB. */
  readonly maxKeys?: number;
}

const DEFAULT_MAX_KEYS = 10_000;

/**
 * How often something may happen per key: the generic cell rate algorithm (ITU-T I.371), a token bucket that is one number per key.
 * That number is when the bucket will be full again; it runs ahead of the clock by one interval per use, and may be a burst ahead.
 * Times are milliseconds of any one clock that doesn't go back.
 */
export class RateLimit {
  readonly #intervalMs: number;
  readonly #burst: number;
  readonly #fullAt: RecentMap<{ at: number }>;

  constructor({ count, periodMs, burst = count, maxKeys = DEFAULT_MAX_KEYS }: RateLimitOptions) {
    this.#intervalMs = periodMs / count;
    this.#burst = burst;
    this.#fullAt = new RecentMap(maxKeys);
  }

  /** Counts one use and returns 0, or returns the milliseconds until one is free, and counts nothing. */
  take(key: string, now: number): number {
    const wait = this.wait(key, now);
    if (wait === 0) this.count(key, now);
    return wait;
  }

  /** Returns the milliseconds until a use is free, 0 when one is. Counts nothing. */
  wait(key: string, now: number): number {
    const fullAt = this.#fullAt.peek(key)?.at ?? now;
    // A rounding error must not cost the last use of a burst.
    const wait = fullAt - now - (this.#burst - 1) * this.#intervalMs;
    return wait > 1e-3 ? wait : 0;
  }

  /** Counts one use, free or not; over the limit it changes nothing, so that nobody digs a hole deeper than one burst. */
  count(key: string, now: number): void {
    const full = this.#fullAt.get(key);
    const next = Math.min(Math.max(full?.at ?? now, now), now + (this.#burst - 1) * this.#intervalMs);
    if (full === undefined) this.#fullAt.set(key, { at: next + this.#intervalMs });
    else full.at = next + this.#intervalMs;
  }

  /** Keys remembered now. */
  get size(): number {
    return this.#fullAt.size;
  }
}
