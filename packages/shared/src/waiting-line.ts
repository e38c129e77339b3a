/** What stands in a line, oldest first, and may leave it from anywhere. */
export class WaitingLine<T> {
  readonly #waiting = new Set<T>();
  /** Live, and kept: a fresh iterator of a set steps over every place that was emptied at its old end. */
  #oldest: Iterator<T> | undefined;

  get size(): number {
    return this.#waiting.size;
  }

  /** Puts it at the young end. It must not stand in the line already. */
  add(one: T): void {
    this.#waiting.add(one);
  }

  delete(one: T): void {
    this.#waiting.delete(one);
  }

  /** Takes out and returns the oldest; undefined when nobody waits. */
  shift(): T | undefined {
    if (this.#waiting.size === 0) return undefined;
    this.#oldest ??= this.#waiting.values();
    let next = this.#oldest.next();
    if (next.done) {
      // It came to the end while the line was empty, and an iterator that has ended stays so.
      this.#oldest = this.#waiting.values();
      next = this.#oldest.next();
    }
    if (next.done) return undefined;
    this.#waiting.delete(next.value);
    return next.value;
  }
}
