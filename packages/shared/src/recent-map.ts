import { WaitingLine, type Waiter } from "./waiting-line.ts";

interface Entry<V> {
  readonly key: string;
  value: V;
  /** The map's turn when the entry was last moved to the young end. */
  turn: number;
}

/**
 * A map of at most `capacity` entries; one more drops an entry that was not used lately. The order is a line beside the map: in the order
 * of a `Map`, a use would take the entry out and put it in again, and an iterator at its old end would hold on to every table that the
 * map has outgrown, with all that ever stood there. An entry moves only when half the capacity has moved since its own last move: what
 * is in use stays in the younger half and is never dropped.
 */
export class RecentMap<V> {
  readonly #capacity: number;
  readonly #waiters = new Map<string, Waiter<Entry<V>>>();
  #line = new WaitingLine<Entry<V>>();
  #turn = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** Entries that fit without dropping one. */
  get room(): number {
    return this.#capacity - this.#waiters.size;
  }

  /** Returns the value and counts as a use. */
  get(key: string): V | undefined {
    const waiter = this.#waiters.get(key);
    if (waiter === undefined) return undefined;
    if (this.#turn - waiter.one.turn > this.#capacity / 2) this.#move(waiter);
    return waiter.one.value;
  }

  /** Returns the value without counting as a use. */
  peek(key: string): V | undefined {
    return this.#waiters.get(key)?.one.value;
  }

  /** Puts the value at the young end; returns the value of another entry that was dropped for it. */
  set(key: string, value: V): V | undefined {
    const waiter = this.#waiters.get(key);
    if (waiter !== undefined) {
      waiter.one.value = value;
      this.#move(waiter);
      return undefined;
    }
    this.#add({ key, value, turn: 0 });
    if (this.#waiters.size <= this.#capacity) return undefined;
    const dropped = this.#line.shift();
    if (dropped !== undefined) this.#waiters.delete(dropped.key);
    return dropped?.value;
  }

  /** Returns true when there was such an entry. */
  delete(key: string): boolean {
    const waiter = this.#waiters.get(key);
    if (waiter === undefined) return false;
    this.#line.delete(waiter);
    return this.#waiters.delete(key);
  }

  /** All values, the least recent first. */
  values(): V[] {
    return this.#line.all().map(({ value }) => value);
  }

  clear(): void {
    this.#waiters.clear();
    this.#line = new WaitingLine();
  }

  /** All keys, the least recent first. */
  keys(): string[] {
    return this.#line.all().map(({ key }) => key);
  }

  #move(waiter: Waiter<Entry<V>>): void {
    this.#line.delete(waiter);
    this.#add(waiter.one);
  }

  #add(entry: Entry<V>): void {
    entry.turn = ++this.#turn;
    this.#waiters.set(entry.key, this.#line.add(entry));
  }
}
