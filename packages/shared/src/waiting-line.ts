/** One that waits, between its neighbours: what {@link WaitingLine.add} returns and {@link WaitingLine.delete} wants back. */
export interface Waiter<T> {
  readonly one: T;
  /** @internal */
  older: Waiter<T> | undefined;
  /** @internal */
  younger: Waiter<T> | undefined;
  /** @internal */
  isWaiting: boolean;
}

/**
 * What stands in a line, oldest first, and may leave it from anywhere. Linked by hand: a fresh iterator of a `Set` steps over every place
 * that was emptied at its old end, one that is kept holds on to every table the set has outgrown since, and so does, without any iterator,
 * a table that V8 has taken for long-lived (see `open-set.ts`). For the same reason who leaves keeps no neighbours.
 */
export class WaitingLine<T> {
  #oldest: Waiter<T> | undefined;
  #youngest: Waiter<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** Puts it at the young end. */
  add(one: T): Waiter<T> {
    const waiter: Waiter<T> = { one, older: this.#youngest, younger: undefined, isWaiting: true };
    if (this.#youngest === undefined) this.#oldest = waiter;
    else this.#youngest.younger = waiter;
    this.#youngest = waiter;
    this.#size++;
    return waiter;
  }

  /** Does nothing to one that has left already. */
  delete(waiter: Waiter<T>): void {
    if (!waiter.isWaiting) return;
    const { older, younger } = waiter;
    if (older === undefined) this.#oldest = younger;
    else older.younger = younger;
    if (younger === undefined) this.#youngest = older;
    else younger.older = older;
    waiter.older = undefined;
    waiter.younger = undefined;
    waiter.isWaiting = false;
    this.#size--;
  }

  /** Returns all who wait now, the oldest first. */
  all(): T[] {
    const all: T[] = [];
    for (let waiter = this.#oldest; waiter !== undefined; waiter = waiter.younger) all.push(waiter.one);
    return all;
  }

  /** Takes out and returns the oldest; undefined when nobody waits. */
  shift(): T | undefined {
    const oldest = this.#oldest;
    if (oldest === undefined) return undefined;
    this.delete(oldest);
    return oldest.one;
  }
}
