import type { LogRecord } from "./log-record.ts";
import { COLUMN_NAMES, columnWidth, INDEX_BYTES_PER_RECORD, writeCells } from "./record-columns.ts";
import type { RecordBatch } from "./record-queue.ts";
import { encodeRecord } from "./stored-record.ts";

/** Records that a batch has room for from the start. */
const FIRST_ROOM = 64;
/** Octets of text that it has room for from the start. */
const FIRST_TEXT_ROOM = 32 * 1024;
const NEWLINE = "\n".charCodeAt(0);

/** Records in their stored form, with the cells of their index. */
export class StoredBatch implements RecordBatch {
  /** One line a record. Written at once, so that no string of it is alive when the collector comes. */
  #text: Buffer = Buffer.allocUnsafe(FIRST_TEXT_ROOM);
  #textLength = 0;
  #count = 0;
  #columns: Buffer[] = columnsFor(FIRST_ROOM);
  #room = FIRST_ROOM;
  #oldest = Number.POSITIVE_INFINITY;
  #newest = 0;

  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#textLength + this.#count * INDEX_BYTES_PER_RECORD;
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
    return this.#text.subarray(0, this.#textLength);
  }

  /** A buffer a column, in the order of {@link COLUMN_NAMES}. */
  get cells(): Buffer[] {
    return COLUMN_NAMES.map((name, index) => cellsOf(this.#columns[index], this.count * columnWidth(name)));
  }

  add(record: LogRecord): void {
    if (this.count === this.#room) this.#grow();
    writeCells(record, this.#columns, this.count);
    this.#addLine(encodeRecord(record));
    this.#count += 1;
    this.#oldest = Math.min(this.#oldest, record.time);
    this.#newest = Math.max(this.#newest, record.time);
  }

  /** Empties it, for new records in the same memory. */
  clear(): void {
    this.#textLength = 0;
    this.#count = 0;
    this.#oldest = Number.POSITIVE_INFINITY;
    this.#newest = 0;
  }

  #addLine(line: string): void {
    // A UTF-16 unit is three octets of UTF-8 at the most.
    const needed = this.#textLength + line.length * 3 + 1;
    if (needed > this.#text.length) {
      const wider = Buffer.allocUnsafe(Math.max(this.#text.length * 2, needed));
      this.#text.copy(wider, 0, 0, this.#textLength);
      this.#text = wider;
    }
    this.#textLength += this.#text.write(line, this.#textLength, "utf8");
    this.#text[this.#textLength++] = NEWLINE;
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
