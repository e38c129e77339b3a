import { setTimeout as delay } from "node:timers/promises";
import type { Component, EventName, Level, LogRecord, RecordLog } from "./log-record.ts";
import { LEVELS } from "./log-record.ts";
import { RecordQueue, type RecordBatch } from "./record-queue.ts";

/** A place records are kept. */
export interface RecordSink<Batch extends RecordBatch = RecordBatch> {
  readonly name: string;
  /**
   * Milliseconds after which a batch that was rejected is given again, the same one and before any other, until it is taken. Without
   * it a rejected batch is lost, and counted.
   */
  readonly retryMs?: number;
  /**
   * Records that are put into this sink's form together. Between one connection or request and the next the code for a form has left the
   * processor's caches, which costs more than the work does. Default 1: at once.
   */
  readonly formedRecords?: number;
  /** Returns an empty batch. */
  open(): Batch;
  /** Settles when the batch is safe there. */
  write(batch: Batch): Promise<void>;
  close?(): Promise<void>;
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

/** What one sink has been given so far, since the start. */
export interface LaneReport {
  readonly sink: string;
  /** Records that wait, or are on their way. */
  readonly queued: number;
  readonly written: number;
  readonly lost: number;
}

/** Records per write: large enough that the sink's cost per call vanishes, small enough for one render to stay under a millisecond or two. */
const BATCH_RECORDS = 512;
/** For sinks whose form is costly: not more of them, or the collector has to look at each. */
export const FORMED_TOGETHER = 64;
/** Octets that records may hold while they wait for one sink, estimated: a peer chooses how long a path is. */
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
/** Milliseconds between two tries of a sink that fails while a process waits for its last records to be written. */
const FLUSH_RETRY_MS = 50;
/** Milliseconds for telling the other sinks what one could not be given any more. */
const LAST_WORD_MS = 500;

interface Lane {
  readonly sink: RecordSink;
  readonly queue: RecordQueue;
  /** Being written, or to be given again. */
  batch: RecordBatch | undefined;
  writing: Promise<void> | undefined;
  retry: NodeJS.Timeout | undefined;
  /** When the sink that now fails began to, on the clock of `performance.now()`. */
  failingSince: number | undefined;
  written: number;
  lost: number;
  /** Lost since the last time it was said, and what the batch on its way says of it. */
  unsaid: number;
  saying: number;
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

  constructor(options: RecordWriterOptions) {
    this.#options = { flushIntervalMs: 50, maxQueuedRecords: 10_000, ...options };
    this.#rank = LEVELS.indexOf(options.level);
    const maxRecords = this.#options.maxQueuedRecords;
    // The oldest batch goes when there are too many records: no more than a tenth of them at once.
    const batchRecords = Math.max(1, Math.min(BATCH_RECORDS, Math.floor(maxRecords / 10)));
    const bounds = { batchRecords, maxRecords, maxBytes: MAX_QUEUED_BYTES };
    this.#lanes = options.sinks.map((sink) => ({
      sink,
      queue: new RecordQueue(
        { ...bounds, formedRecords: Math.min(sink.formedRecords ?? 1, batchRecords) },
        () => sink.open(),
      ),
      batch: undefined,
      writing: undefined,
      retry: undefined,
      failingSince: undefined,
      written: 0,
      lost: 0,
      unsaid: 0,
      saying: 0,
    }));
  }

  /** Records lost in all lanes since the start. */
  get lost(): number {
    return this.#lanes.reduce((sum, lane) => sum + lane.lost, 0);
  }

  get lanes(): readonly LaneReport[] {
    return this.#lanes.map(({ sink, queue, batch, written, lost }) => ({
      sink: sink.name,
      queued: queue.length + (batch?.count ?? 0),
      written,
      lost,
    }));
  }

  isEnabled(level: Level): boolean {
    return LEVELS.indexOf(level) <= this.#rank;
  }

  write(record: LogRecord): void {
    if (!this.isEnabled(record.level)) return;
    for (const lane of this.#lanes) this.#push(lane, record);
  }

  /** Settles when everything queued so far was written or lost, or when the deadline (milliseconds) passed. Never rejects. */
  async flush(deadlineMs: number): Promise<void> {
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), deadlineMs);
    const passed = new Promise<void>((resolve) => late.signal.addEventListener("abort", () => resolve()));
    await Promise.race([passed, Promise.all(this.#lanes.map((lane) => this.#empty(lane, late.signal)))]);
    clearTimeout(timer);
    late.abort();
  }

  /** The end of the record: flushes, tells the sinks that work what the others could not be given, and closes all. Never rejects. */
  async close(deadlineMs: number): Promise<void> {
    await this.flush(deadlineMs);
    const behind = this.lanes.filter(({ queued }) => queued > 0);
    for (const { sink, queued } of behind) {
      this.#say(
        "records_lost",
        { level: "warn", message: `${queued} records lost: ${sink} did not take them in time` },
        sink,
      );
    }
    if (behind.length > 0) await this.flush(LAST_WORD_MS);
    clearTimeout(this.#timer);
    for (const lane of this.#lanes) clearTimeout(lane.retry);
    await Promise.allSettled(this.#lanes.map(async ({ sink }) => await sink.close?.()));
  }

  #push(lane: Lane, record: LogRecord): void {
    this.#lose(lane, lane.queue.push(record));
    this.#schedule(lane);
  }

  /** A full batch goes at once, a smaller one waits for company. */
  #schedule(lane: Lane): void {
    if (lane.queue.isDue) this.#drain(lane);
    if (lane.queue.length === 0) return;
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      for (const each of this.#lanes) this.#drain(each);
    }, this.#options.flushIntervalMs).unref();
  }

  async #empty(lane: Lane, late: AbortSignal): Promise<void> {
    while (!late.aborted && (lane.queue.length > 0 || lane.batch !== undefined)) {
      clearTimeout(lane.retry);
      lane.retry = undefined;
      this.#drain(lane);
      await lane.writing;
      if (lane.retry !== undefined) await delay(FLUSH_RETRY_MS);
    }
  }

  #drain(lane: Lane): void {
    if (lane.writing || lane.retry) return;
    const batch = lane.batch ?? this.#nextBatch(lane);
    if (batch === undefined) return;
    // A sink may use a batch again once it has written it.
    const { count } = batch;
    lane.batch = batch;
    lane.writing = lane.sink.write(batch).then(
      () => this.#taken(lane, count),
      (error: unknown) => this.#rejected(lane, batch, error),
    );
  }

  /** What was lost is said before what came after it. */
  #nextBatch(lane: Lane): RecordBatch | undefined {
    this.#lose(lane, lane.queue.form());
    if (lane.unsaid === 0 || lane.queue.length === 0) return lane.queue.take();
    const message = `${lane.unsaid} records lost: ${lane.sink.name} did not keep up`;
    lane.saying = lane.unsaid;
    lane.unsaid = 0;
    const batch = lane.sink.open();
    batch.add(this.#record("records_lost", { level: "warn", message }));
    return batch;
  }

  #taken(lane: Lane, count: number): void {
    lane.written += count;
    lane.saying = 0;
    lane.batch = undefined;
    lane.writing = undefined;
    if (lane.failingSince !== undefined) {
      const seconds = ((performance.now() - lane.failingSince) / 1000).toFixed(1);
      lane.failingSince = undefined;
      this.#say("record_store_regained", {
        level: "info",
        message: `records are kept again: ${lane.sink.name} was away for ${seconds} s`,
      });
    }
    // What came while this was being written had its time pass without a batch.
    this.#schedule(lane);
  }

  #rejected(lane: Lane, batch: RecordBatch, error: unknown): void {
    lane.writing = undefined;
    const { name, retryMs } = lane.sink;
    if (retryMs === undefined) {
      // The sink's own trouble is not logged through itself: it is counted, and said by the lane once it works again.
      lane.batch = undefined;
      if (lane.saying === 0) this.#lose(lane, batch.count);
      lane.unsaid += lane.saying;
      lane.saying = 0;
      return;
    }
    lane.retry = setTimeout(() => {
      lane.retry = undefined;
      this.#drain(lane);
    }, retryMs).unref();
    if (lane.failingSince !== undefined) return;
    lane.failingSince = performance.now();
    const cause = error instanceof Error ? error.message : String(error);
    this.#say(
      "record_store_lost",
      { level: "warn", message: `records wait, and the oldest are lost when too many do: ${name}: ${cause}` },
      name,
    );
  }

  #lose(lane: Lane, count: number): void {
    lane.lost += count;
    lane.unsaid += count;
  }

  /** Tells all sinks, but for the one it is about when that one can't be told. */
  #say(event: EventName, fields: Pick<LogRecord, "level" | "message">, except?: string): void {
    if (!this.isEnabled(fields.level)) return;
    const record = this.#record(event, fields);
    for (const lane of this.#lanes) if (lane.sink.name !== except) this.#push(lane, record);
  }

  #record(event: EventName, fields: Pick<LogRecord, "level" | "message">): LogRecord {
    return { time: Date.now(), component: this.#options.component, event, ...fields };
  }
}
