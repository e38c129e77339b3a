import type { LogRecord } from "./log-record.ts";

/**
 * Records on their way to one sink, in the form in which it takes them: what waits is text, and the objects it came from are gone before
 * the collector has to look at them.
 */
export interface RecordBatch {
  /** Records in it. */
  readonly count: number;
  /** Octets that it holds, roughly. */
  readonly bytes: number;
  add(record: LogRecord): void;
}

export interface RecordQueueBounds {
  /** Records of a batch that goes without waiting for company. */
  readonly batchRecords: number;
  /** Records that are put into their form together. */
  readonly formedRecords: number;
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/** Batches that wait for one sink. Over a bound the oldest go: the newest say most about what is the matter. */
export class RecordQueue {
  readonly #bounds: RecordQueueBounds;
  readonly #open: () => RecordBatch;
  /** The last one is being filled. */
  #batches: RecordBatch[] = [];
  /** Records in them. */
  #records = 0;
  /** Not in their form yet. */
  #fresh: LogRecord[] = [];

  constructor(bounds: RecordQueueBounds, open: () => RecordBatch) {
    this.#bounds = bounds;
    this.#open = open;
  }

  /** Records that wait. */
  get length(): number {
    return this.#records + this.#fresh.length;
  }

  /** A batch is full. */
  get isDue(): boolean {
    return this.#records >= this.#bounds.batchRecords;
  }

  /** Returns how many had to go. */
  push(record: LogRecord): number {
    this.#fresh.push(record);
    const { formedRecords, maxRecords } = this.#bounds;
    return this.#fresh.length < formedRecords && this.length <= maxRecords ? 0 : this.form();
  }

  /** Puts what was pushed into its form. Returns how many had to go, among them those that have none. */
  form(): number {
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh.reduce((gone, record) => gone + this.#put(record), 0);
  }

  /** Returns the oldest batch of what was formed, which leaves the queue; undefined when there is none. */
  take(): RecordBatch | undefined {
    const batch = this.#batches.shift();
    this.#records -= batch?.count ?? 0;
    return batch;
  }

  #put(record: LogRecord): number {
    const last = this.#batches.at(-1);
    try {
      if (last === undefined || last.count >= this.#bounds.batchRecords) this.#append(record);
      else last.add(record);
    } catch {
      // A record that can't be put into the sink's form is a lost one, and never the trouble of the code that wrote it.
      return 1;
    }
    this.#records += 1;
    return this.#isOver() ? (this.take()?.count ?? 0) : 0;
  }

  #append(record: LogRecord): void {
    const batch = this.#open();
    batch.add(record);
    this.#batches.push(batch);
  }

  /** One batch alone is never over: it is bounded by its number. */
  #isOver(): boolean {
    const { maxRecords, maxBytes } = this.#bounds;
    if (this.#batches.length < 2) return false;
    if (this.#records > maxRecords) return true;
    // Only a backlog can hold that much, so the sum is not kept for every record.
    return this.#batches.length > 2 && this.#batches.reduce((sum, { bytes }) => sum + bytes, 0) > maxBytes;
  }
}
