import { renderRecord, type LogRecord } from "@gatehouse/shared/log-record";
import type { Environment } from "@gatehouse/shared/read-config";
import type { RecordFilter } from "@gatehouse/shared/record-filter";
import { CompactLines } from "./compact-line.ts";
import { jsonLine, paintFor, paintRecord, type Paint } from "./paint.ts";

/** What records are printed to: standard output, or what a test puts in its place. */
export interface Output {
  readonly isTTY?: boolean;
  /** Of the terminal; may change while we print. */
  readonly columns?: number;
  write(text: string): unknown;
}

/** How records are printed: as JSON, in the form of the contract, or a line each for whoever watches them pass. */
export type RecordForm = "json" | "printed" | "line";

const DEFAULT_COLUMNS = 80;
const DAY_MS = 86_400_000;

/** Prints records. Each batch is one write, so that a terminal never shows half of it. */
export class RecordOutput {
  readonly #output: Output;
  readonly #form: RecordForm;
  readonly #paint: Paint;
  readonly #lines: CompactLines;
  #day: number | undefined;

  /** `filter` is what all the records have in common. */
  constructor(
    output: Output,
    {
      form,
      filter,
      env,
    }: { readonly form: RecordForm; readonly filter: RecordFilter; readonly env: Environment },
  ) {
    this.#output = output;
    this.#form = form;
    this.#paint = paintFor(output, env);
    this.#lines = new CompactLines(this.#paint, filter);
  }

  print(records: readonly LogRecord[]): void {
    if (records.length === 0) return;
    this.#output.write(`${records.map((record) => this.#text(record)).join("\n")}\n`);
  }

  /** Prints a sentence of ours, which in JSON has no place. */
  say(sentence: string): void {
    if (this.#form === "json") process.stderr.write(`${sentence}\n`);
    else this.#output.write(`${this.#paint.quiet(sentence)}\n`);
  }

  #text(record: LogRecord): string {
    switch (this.#form) {
      case "json":
        return jsonLine(record);
      case "printed":
        return paintRecord(renderRecord(record), this.#paint);
      case "line":
        return this.#line(record);
    }
  }

  #line(record: LogRecord): string {
    const line = this.#lines.line(record, this.#output.columns ?? DEFAULT_COLUMNS);
    const day = Math.floor(record.time / DAY_MS);
    if (day === this.#day) return line;
    this.#day = day;
    return `${this.#lines.day(record.time)}\n${line}`;
  }
}
