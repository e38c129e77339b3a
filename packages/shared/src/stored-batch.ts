import { JsonLines } from "./json-lines.ts";
import type { LogRecord } from "./log-record.ts";
import { COLUMN_NAMES, columnWidth, INDEX_BYTES_PER_RECORD, writeCells } from "./record-columns.ts";
import type { RecordBatch } from "./record-queue.ts";
import { writeRecord } from "./stored-record.ts";

/** Records that a batch has room for from the start. */
const FIRST_ROOM = 64;

/** Records in their stored form, with the cells of their index. */
export class StoredBatch implements RecordBatch {
  readonly #lines = new JsonLines();
  #count = 0;
  #columns: Buffer[] = columnsFor(FIRST_ROOM);
  #room = FIRST_ROOM;
  #oldest = Number.POSITIVE_INFINITY;
  #newest = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#lines.length + this.#count * INDEX_BYTES_PER_RECORD;
  }

  /** Milliseconds since the epoch. */
  get oldest(): number {
    return this.#oldest;
  }

  get newest(): number {
    return this.#newest;
  }

  /** One line a record, each with its end. */
  get text(): Buffer {
    return this.#lines.octets;
  }

  /** A buffer a column, in the order of {@link COLUMN_NAMES}. */
  get cells(): Buffer[] {
    return COLUMN_NAMES.map((name, index) => cellsOf(this.#columns[index], this.count * columnWidth(name)));
  }

  add(record: LogRecord): void {
    if (this.count === this.#room) this.#grow();
    const { length } = this.#lines;
    try {
      writeCells(record, this.#columns, this.count);
      writeRecord(record, this.#lines);
    } catch (cause) {
      // What can't be written to its end is not there at all.
      this.#lines.cutTo(length);
      throw cause;
    }
    this.#count += 1;
    this.#oldest = Math.min(this.#oldest, record.time);
    this.#newest = Math.max(this.#newest, record.time);
  }

  /** Empties it, for new records in the same memory. */
  clear(): void {
    this.#lines.clear();
    this.#count = 0;
    this.#oldest = Number.POSITIVE_INFINITY;
    this.#newest = 0;
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
