import { write as writeDescriptor } from "node:fs";
import { Writable } from "node:stream";
import { createLogger, transports, type Logger } from "winston";
import { renderRecord, type LogRecord } from "./log-record.ts";
import { FORMED_TOGETHER, type RecordSink } from "./record-log.ts";
import type { RecordBatch } from "./record-queue.ts";

const STDOUT = 1;

/** Records as they are printed. */
class PrintedBatch implements RecordBatch {
  readonly #lines: string[] = [];
  bytes = 0;

  get count(): number {
    return this.#lines.length;
  }

  get text(): string {
    return this.#lines.join("\n");
  }

  add(record: LogRecord): void {
    const line = renderRecord(record);
    this.#lines.push(line);
    this.bytes += line.length;
  }
}

/**
 * The console, through winston. A batch is one winston entry: winston costs 15 to 20 microseconds an entry, which a record per
 * connection and request can't bear, and it ignores its sink's backpressure, so the next batch is handed over only when the
 * last one was written.
 */
export class ConsoleSink implements RecordSink<PrintedBatch> {
  readonly name = "console";
  readonly formedRecords = FORMED_TOGETHER;
  readonly #logger: Logger;
  readonly #output: DescriptorStream;

  constructor(descriptor: number = STDOUT) {
    this.#output = new DescriptorStream(descriptor);
    this.#logger = createLogger({
      level: "info",
      format: { transform: (info) => Object.assign(info, { [Symbol.for("message")]: info["message"] }) },
      transports: [new transports.Stream({ stream: this.#output, eol: "\n" })],
    });
  }

  open(): PrintedBatch {
    return new PrintedBatch();
  }

  write(batch: PrintedBatch): Promise<void> {
    const written = this.#output.nextWrite();
    this.#logger.info(batch.text);
    return written;
  }
}

/**
 * Writes to a descriptor through the thread pool. `process.stdout` writes to a pipe synchronously, so a journal that stops
 * reading would stop the whole process; here it stops one thread, and the queue before us counts what it drops.
 */
class DescriptorStream extends Writable {
  readonly #descriptor: number;
  #waiting: PromiseWithResolvers<void>[] = [];

  constructor(descriptor: number) {
    super({ decodeStrings: true });
    this.#descriptor = descriptor;
  }

  /** Settles with the next write that is handed to this stream. */
  nextWrite(): Promise<void> {
    const waiting = Promise.withResolvers<void>();
    this.#waiting.push(waiting);
    return waiting.promise;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const settle = (error: Error | null): void => {
      const waiting = this.#waiting.shift();
      if (error) waiting?.reject(error);
      else waiting?.resolve();
      // The stream itself stays usable: a full disk or a closed pipe loses records, never the process.
      done();
    };
    this.#writeAll(chunk, settle);
  }

  #writeAll(chunk: Buffer, settle: (error: Error | null) => void): void {
    writeDescriptor(this.#descriptor, chunk, (error, written) => {
      if (error?.code === "EAGAIN") setTimeout(() => this.#writeAll(chunk, settle), 10);
      else if (error || written === chunk.length) settle(error);
      else this.#writeAll(chunk.subarray(written), settle);
    });
  }
}
