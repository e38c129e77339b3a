/** One that waits, between its neighbours. */
interface Place<T> {
  readonly one: T;
  older: Place<T> | undefined;
  younger: Place<T> | undefined;
}

/**
 * What stands in a line, oldest first, and may leave it from anywhere. Linked by hand: a fresh iterator of a `Set` steps over every place
 * that was emptied at its old end, and one that is kept holds on to every table the set has outgrown since.
 */
export class WaitingLine<T> {
  readonly #places = new Map<T, Place<T>>();
  #oldest: Place<T> | undefined;
  #youngest: Place<T> | undefined;

  get size(): number {
    return this.#places.size;
  }

  /** Puts it at the young end. It must not stand in the line already. */
  add(one: T): void {
    const place: Place<T> = { one, older: this.#youngest, younger: undefined };
    if (this.#youngest === undefined) this.#oldest = place;
    else this.#youngest.younger = place;
    this.#youngest = place;
    this.#places.set(one, place);
  }

  delete(one: T): void {
    const place = this.#places.get(one);
    if (place === undefined) return;
    this.#places.delete(one);
    if (place.older === undefined) this.#oldest = place.younger;
    else place.older.younger = place.younger;
    if (place.younger === undefined) this.#youngest = place.older;
    else place.younger.older = place.older;
  }

  /** Takes out and returns the oldest; undefined when nobody waits. */
  shift(): T | undefined {
    const oldest = this.#oldest?.one;
    if (oldest !== undefined) this.delete(oldest);
    return oldest;
  }
}
