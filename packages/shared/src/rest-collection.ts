import { getHeapStatistics } from "node:v8";

const LOOK_MS = 1000;
/** A process that allocates less between two looks is at rest: one without traffic takes 30 to 60 KiB, for timers and for Redis. */
const REST_BYTES = 128 * 1024;
/** Looks at rest in a row before it collects. V8 gives up the code that it has optimized, too: it is worth a minute without traffic, not a moment. */
const REST_LOOKS = 60;
/** The same shortly after the start, when next to nothing is optimized yet. */
const FIRST_REST_LOOKS = 2;
const START_LOOKS = 10;
/** Looks between two collections at least: a little traffic looks like rest, and has to bear the pause. */
const LOOKS_BETWEEN = 300;
/** What has to have gathered since the last time: less is not worth the pause. */
const WORTH_BYTES = 8 * 1024 ** 2;
/** The pause grows with what is in use: 40 to 60 ms up to here. A larger heap is one with many open connections, who would wait longer. */
const MOST_BYTES = 48 * 1024 ** 2;

export interface RestCollectionOptions {
  /** `globalThis.gc`, which is there with `--expose-gc`; without it nothing is collected. */
  readonly collect: NodeJS.GCFunction | undefined;
  /** Octets of the heap in use, garbage included. */
  readonly used?: () => number;
}

/**
 * Gives memory back when nothing happens: V8 collects because something is allocated, so that a process at rest keeps the garbage of its
 * start, or of its last burst, for good. One at rest in fifty hosts is the rule, not the exception.
 */
export class RestCollection {
  readonly #collect: NodeJS.GCFunction | undefined;
  readonly #used: () => number;
  #last: number;
  #collected = 0;
  #looks = 0;
  #looksAtRest = 0;
  #looksToWait = 0;

  constructor({ collect, used = () => getHeapStatistics().used_heap_size }: RestCollectionOptions) {
    this.#collect = collect;
    this.#used = used;
    this.#last = used();
  }

  /** Looks every second from now on, from the start of a process on; does not keep it alive. */
  start(): void {
    if (this.#collect !== undefined) setInterval(() => this.look(), LOOK_MS).unref();
  }

  /** Collects when the process is at rest and it is worth while. */
  look(): void {
    const used = this.#used();
    const grown = used - this.#last;
    this.#last = used;
    // Less than before: V8 has collected by itself, because there is traffic.
    this.#looksAtRest = grown >= 0 && grown < REST_BYTES ? this.#looksAtRest + 1 : 0;
    this.#looks += 1;
    this.#looksToWait -= 1;
    const enough = this.#looks <= START_LOOKS ? FIRST_REST_LOOKS : REST_LOOKS;
    if (this.#looksAtRest < enough || this.#looksToWait > 0) return;
    if (used > MOST_BYTES || used - this.#collected < WORTH_BYTES) return;
    // The last resort of V8 is the only way to have it give back the room of the young generation.
    this.#collect?.({ type: "major", execution: "sync", flavor: "last-resort" });
    this.#collected = this.#last = this.#used();
    this.#looksToWait = LOOKS_BETWEEN;
  }
}
