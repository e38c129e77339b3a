import type { LogRecord } from "./log-record.ts";

export interface RecordQueueBounds {
  readonly maxRecords: number;
  /** Octets, estimated. */
  readonly maxBytes: number;
}

/** What a record holds besides the texts that a peer chooses the length of, in octets, roughly. */
const RECORD_BYTES = 512;

/** Records that wait for one sink. Over a bound the oldest go: the newest say most about what is the matter. */
export class RecordQueue {
  readonly #bounds: RecordQueueBounds;
  #records: LogRecord[] = [];
  #bytes = 0;

  constructor(bounds: RecordQueueBounds) {
    this.#bounds = bounds;
  }

  get length(): number {
    return this.#records.length;
  }

  /** Returns how many had to go for it. */
  push(record: LogRecord): number {
    this.#records.push(record);
    this.#bytes += weight(record);
    const { maxRecords, maxBytes } = this.#bounds;
    if (this.#records.length <= maxRecords && this.#bytes <= maxBytes) return 0;
    // A tenth at once: shifting one by one from a full queue would cost its length each time.
    return this.take(Math.ceil(this.#records.length / 10)).length;
  }

  /** Returns up to `count` of the oldest, which leave the queue. */
  take(count: number): LogRecord[] {
    const taken = this.#records.splice(0, count);
    this.#bytes =
      this.#records.length === 0 ? 0 : this.#bytes - taken.reduce((sum, each) => sum + weight(each), 0);
    return taken;
  }
}

function weight({ path, message }: LogRecord): number {
  return RECORD_BYTES + (path?.length ?? 0) + (message?.length ?? 0);
}
