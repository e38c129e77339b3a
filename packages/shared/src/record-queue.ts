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
  readonly maxRecords: number;
  readonly maxBytes: number;
}

/** Batches that wait for one sink. Over a bound the oldest go: the newest say most about what is the matter. */
export class RecordQueue {
  readonly #bounds: RecordQueueBounds;
  readonly #open: () => RecordBatch;
  /** The last one is being filled. */
  #batches: RecordBatch[] = [];
  #records = 0;

  constructor(bounds: RecordQueueBounds, open: () => RecordBatch) {
    this.#bounds = bounds;
    this.#open = open;
  }

  /** Records that wait. */
  get length(): number {
    return this.#records;
  }

  /** A batch is full. */
  get isDue(): boolean {
    return this.#records >= this.#bounds.batchRecords;
  }

  /** Returns how many had to go for it. */
  push(record: LogRecord): number {
    const last = this.#batches.at(-1);
    if (last === undefined || last.count >= this.#bounds.batchRecords) this.#append(record);
    else last.add(record);
    this.#records += 1;
    return this.#isOver() ? (this.take()?.count ?? 0) : 0;
  }

  /** Returns the oldest batch, which leaves the queue; undefined when nothing waits. */
  take(): RecordBatch | undefined {
    const batch = this.#batches.shift();
    this.#records -= batch?.count ?? 0;
    return batch;
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
