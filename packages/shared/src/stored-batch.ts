import type { LogRecord } from "./log-record.ts";
import { COLUMN_NAMES, columnWidth, INDEX_BYTES_PER_RECORD, writeCells } from "./record-columns.ts";
import type { RecordBatch } from "./record-queue.ts";
import { encodeRecord } from "./stored-record.ts";

/** Records that a batch has room for from the start. */
const FIRST_ROOM = 64;

/** Records in their stored form, with the cells of their index. */
export class StoredBatch implements RecordBatch {
  readonly #lines: string[] = [];
  #columns: Buffer[] = columnsFor(FIRST_ROOM);
  #room = FIRST_ROOM;
  #bytes = 0;
  #oldest = Number.POSITIVE_INFINITY;
  #newest = 0;

  get count(): number {
    return this.#lines.length;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Milliseconds since the epoch. */
  get oldest(): number {
    return this.#oldest;
  }

  get newest(): number {
    return this.#newest;
  }

  /** One line a record. */
  get text(): string {
    return this.#lines.join("\n");
  }

  /** A buffer a column, in the order of {@link COLUMN_NAMES}. */
  get cells(): Buffer[] {
    return COLUMN_NAMES.map((name, index) => cellsOf(this.#columns[index], this.count * columnWidth(name)));
  }

  add(record: LogRecord): void {
    if (this.count === this.#room) this.#grow();
    writeCells(record, this.#columns, this.count);
    const line = encodeRecord(record);
    this.#lines.push(line);
    this.#bytes += line.length + INDEX_BYTES_PER_RECORD;
    this.#oldest = Math.min(this.#oldest, record.time);
    this.#newest = Math.max(this.#newest, record.time);
  }

  #grow(): void {
    this.#room *= 4;
    const wider = columnsFor(this.#room);
    for (const [index, cells] of this.#columns.entries()) cells.copy(cellsOf(wider[index], cells.length));
    this.#columns = wider;
  }
}

/** One piece of memory for all columns: a batch is made twenty times a second. Every cell is written before it is read. */
function columnsFor(records: number): Buffer[] {
  const memory = Buffer.allocUnsafe(records * INDEX_BYTES_PER_RECORD);
  let used = 0;
  return COLUMN_NAMES.map((name) => {
    const start = used;
    used += records * columnWidth(name);
    return memory.subarray(start, used);
  });
}

function cellsOf(column: Buffer | undefined, length: number): Buffer {
  if (column === undefined) throw new TypeError("a column without cells");
  return column.subarray(0, length);
}
