/** One record as a process printed it. */
export interface PrintedRecord {
  /** `dispatcher`, `instance`, `proxy_handler`, … */
  readonly component: string;
  /** The first line, behind time and component. */
  readonly headline: string;
  /** All lines, joined by newlines. */
  readonly text: string;
}

/** Kept for `awaitRecord`; a fault test writes tens of thousands and asks for the last ones. */
const MAX_RECORDS = 20_000;

const FIRST_LINE = /^\[[^\]]+\] \[([^\]]+)\] (.*)$/;

/** Reads printed records (contract section 6) from a stream of text, in whatever pieces it comes. */
export class RecordReader {
  readonly #records: PrintedRecord[] = [];
  readonly #watchers = new Set<() => void>();
  #rest = "";
  #dropped = 0;

  /** How many records have been read in all: a mark for `find`. */
  get count(): number {
    return this.#dropped + this.#records.length;
  }

  push(text: string): void {
    const lines = (this.#rest + text).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) this.#take(line);
    for (const look of this.#watchers) look();
  }

  /** Calls `look` after every arrival until the returned function is called. */
  watch(look: () => void): () => void {
    this.#watchers.add(look);
    return () => this.#watchers.delete(look);
  }

  /** Returns the records that match, oldest first, among those read since the mark. */
  all(matches: RegExp, since = 0): PrintedRecord[] {
    return this.#records
      .slice(Math.max(0, since - this.#dropped))
      .filter(({ text }) => text.search(matches) !== -1);
  }

  #take(line: string): void {
    const last = this.#records.at(-1);
    const [, component, headline] = FIRST_LINE.exec(line) ?? [];
    if (component !== undefined && headline !== undefined) {
      this.#records.push({ component, headline, text: line });
      if (this.#records.length <= MAX_RECORDS) return;
      this.#records.shift();
      this.#dropped += 1;
    } else if (last && line.startsWith("  ")) {
      this.#records[this.#records.length - 1] = { ...last, text: `${last.text}\n${line}` };
    }
  }
}
