import type { Component, Level, LogRecord, RecordLog } from "./log-record.ts";
import { LEVELS } from "./log-record.ts";

/** A place records are kept. `write` settles when the batch is safe there; a rejection loses that batch, and it is counted. */
export interface RecordSink {
  readonly name: string;
  write(batch: readonly LogRecord[]): Promise<void>;
}

export interface RecordWriterOptions {
  readonly level: Level;
  readonly component: Component;
  readonly sinks: readonly RecordSink[];
  /** Milliseconds that a record may wait for company before its batch is written. Default 50. */
  readonly flushIntervalMs?: number;
  /** Records held for one slow sink before the oldest are dropped and counted. Default 10,000. */
  readonly maxQueuedRecords?: number;
}

/** Records per write: large enough that the sink's cost per call vanishes, small enough for one render to stay under a millisecond or two. */
const BATCH_RECORDS = 256;

interface Lane {
  readonly sink: RecordSink;
  queue: LogRecord[];
  writing: Promise<void> | undefined;
  /** Lost since the last time it was said. */
  lost: number;
}

/**
 * Takes records off the hot path: `write` only pushes onto a queue per sink. A slow or dead sink costs counted records in its
 * own lane and nothing anywhere else; what was lost is said once, in the lane itself, when it takes records again.
 */
export class RecordWriter implements RecordLog {
  readonly #options: Required<RecordWriterOptions>;
  readonly #rank: number;
  readonly #lanes: readonly Lane[];
  #timer: NodeJS.Timeout | undefined;
  #lostInAll = 0;

  constructor(options: RecordWriterOptions) {
    this.#options = { flushIntervalMs: 50, maxQueuedRecords: 10_000, ...options };
    this.#rank = LEVELS.indexOf(options.level);
    this.#lanes = options.sinks.map((sink) => ({ sink, queue: [], writing: undefined, lost: 0 }));
  }

  /** Records lost in all lanes since the start. */
  get lost(): number {
    return this.#lostInAll;
  }

  isEnabled(level: Level): boolean {
    return LEVELS.indexOf(level) <= this.#rank;
  }

  write(record: LogRecord): void {
    if (!this.isEnabled(record.level)) return;
    for (const lane of this.#lanes) {
      if (lane.queue.length >= this.#options.maxQueuedRecords) {
        // Drop a tenth at once: shifting one by one from a full queue would cost its length each time.
        this.#lose(lane, lane.queue.splice(0, Math.ceil(this.#options.maxQueuedRecords / 10)).length);
      }
      lane.queue.push(record);
      if (lane.queue.length >= BATCH_RECORDS) this.#drain(lane);
    }
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      for (const lane of this.#lanes) this.#drain(lane);
    }, this.#options.flushIntervalMs).unref();
  }

  /** Settles when everything queued so far was written or lost, or when the deadline (milliseconds) passed. Never rejects. */
  async flush(deadlineMs: number): Promise<void> {
    const { promise: late, resolve: giveUp } = Promise.withResolvers<void>();
    const timer = setTimeout(giveUp, deadlineMs);
    await Promise.race([late, Promise.all(this.#lanes.map((lane) => this.#empty(lane)))]);
    clearTimeout(timer);
  }

  async #empty(lane: Lane): Promise<void> {
    while (lane.queue.length > 0 || lane.writing) {
      this.#drain(lane);
      await lane.writing;
    }
  }

  #drain(lane: Lane): void {
    if (lane.writing || lane.queue.length === 0) return;
    const batch = lane.queue.splice(0, BATCH_RECORDS);
    if (lane.lost > 0) batch.unshift(this.#lossRecord(lane));
    const lostBefore = lane.lost;
    lane.lost = 0;
    lane.writing = lane.sink
      .write(batch)
      .catch(() => {
        // The sink's own trouble is not logged through itself: it is counted, and said by the lane once it works again.
        lane.lost += lostBefore;
        this.#lose(lane, batch.length - (lostBefore > 0 ? 1 : 0));
      })
      .then(() => {
        lane.writing = undefined;
        if (lane.queue.length >= BATCH_RECORDS) this.#drain(lane);
      });
  }

  #lose(lane: Lane, count: number): void {
    lane.lost += count;
    this.#lostInAll += count;
  }

  #lossRecord(lane: Lane): LogRecord {
    return {
      time: Date.now(),
      level: "warn",
      component: this.#options.component,
      event: "records_lost",
      message: `${lane.lost} records lost: ${lane.sink.name} did not keep up`,
    };
  }
}
