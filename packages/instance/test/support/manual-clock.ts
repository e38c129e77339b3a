import type { Clock } from "../../src/acme/clock.ts";

/** Time that stands still until a test moves it. What is due at once is called at once. */
export class ManualClock implements Clock {
  #now = Date.now();
  readonly #waiting = new Set<{ readonly at: number; readonly call: () => void }>();

  now(): number {
    return this.#now;
  }

  after(milliseconds: number, call: () => void): () => void {
    const entry = { at: this.#now + milliseconds, call };
    this.#waiting.add(entry);
    setImmediate(() => this.#callDue());
    return () => this.#waiting.delete(entry);
  }

  /** When something is waited for next; infinite while nothing is, as long as what was called is at work. */
  get nextAt(): number {
    return Math.min(...[...this.#waiting].map(({ at }) => at));
  }

  /** Moves on, and calls what is due by then. */
  moveTo(time: number): void {
    this.#now = time;
    this.#callDue();
  }

  moveBy(milliseconds: number): void {
    this.moveTo(this.#now + milliseconds);
  }

  #callDue(): void {
    for (const entry of this.#waiting) {
      if (entry.at <= this.#now && this.#waiting.delete(entry)) entry.call();
    }
  }
}
