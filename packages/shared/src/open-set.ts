/**
 * What is open just now, in no order. For members that come and go with every request: a `Set` that loses as many as it gains builds
 * its table anew every few of them, and each old table points to the next one. Once V8 has taken one of them for long-lived, all that
 * come after it, and everything that ever stood in them, live until the next full collection. Here a place is emptied and used again.
 */
export class OpenSet<T extends object> implements Iterable<T> {
  readonly #places: (T | undefined)[] = [];
  readonly #free: number[] = [];

  get size(): number {
    return this.#places.length - this.#free.length;
  }

  /** Returns its place, which {@link delete} wants back. */
  add(one: T): number {
    const place = this.#free.pop();
    if (place === undefined) return this.#places.push(one) - 1;
    this.#places[place] = one;
    return place;
  }

  /** Empties a place; once for each {@link add}. @throws {RangeError} for a place that is empty */
  delete(place: number): void {
    if (this.#places[place] === undefined) throw new RangeError(`nothing stands at ${place}`);
    this.#places[place] = undefined;
    this.#free.push(place);
  }

  /** Members that come or go meanwhile may or may not be met; none is met twice. */
  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (const one of this.#places) if (one !== undefined) yield one;
  }
}
