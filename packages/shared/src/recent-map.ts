interface Slot<V> {
  value: V;
  /** The map's turn when the slot was last moved to the young end. */
  turn: number;
}

/**
 * A map of at most `capacity` entries; one more drops an entry that was not used lately. A `Map` keeps insertion order, so using an
 * entry means taking it out and putting it in again, and that makes V8 rebuild the whole table now and then. Hence an entry moves
 * only when half the capacity has moved since its own last move: what is in use stays in the younger half and is never dropped.
 */
export class RecentMap<V> {
  readonly #capacity: number;
  readonly #slots = new Map<string, Slot<V>>();
  /**
   * Walks the map from its old end. It is live and never starts again: a fresh iterator would step over every slot that was emptied
   * since the last rebuild, for each entry that is dropped.
   */
  readonly #oldest = this.#slots.keys();
  #turn = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** Entries that fit without dropping one. */
  get room(): number {
    return this.#capacity - this.#slots.size;
  }

  /** Returns the value and counts as a use. */
  get(key: string): V | undefined {
    const slot = this.#slots.get(key);
    if (slot === undefined) return undefined;
    if (this.#turn - slot.turn > this.#capacity / 2) {
      this.#slots.delete(key);
      this.#slots.set(key, slot);
      slot.turn = ++this.#turn;
    }
    return slot.value;
  }

  /** Returns the value without counting as a use. */
  peek(key: string): V | undefined {
    return this.#slots.get(key)?.value;
  }

  /** Puts the value at the young end; returns the value of another entry that was dropped for it. */
  set(key: string, value: V): V | undefined {
    this.#slots.delete(key);
    this.#slots.set(key, { value, turn: ++this.#turn });
    if (this.#slots.size <= this.#capacity) return undefined;
    const { value: oldest = "" } = this.#oldest.next();
    const dropped = this.#slots.get(oldest);
    this.#slots.delete(oldest);
    return dropped?.value;
  }

  /** Returns true when there was such an entry. */
  delete(key: string): boolean {
    return this.#slots.delete(key);
  }

  /** All values, the least recent first. */
  *values(): Generator<V, void, undefined> {
    for (const { value } of this.#slots.values()) yield value;
  }

  clear(): void {
    this.#slots.clear();
  }

  /** All keys, the least recent first. */
  keys(): string[] {
    return [...this.#slots.keys()];
  }
}
