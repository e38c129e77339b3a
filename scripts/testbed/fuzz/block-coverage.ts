import { Session, type Profiler } from "node:inspector";

/**
 * Which blocks of some source files have run, by V8's own counters. Asking costs a millisecond, so it is asked for a batch of inputs and
 * the batch is divided when there is something new in it.
 */
export class BlockCoverage {
  readonly #session = new Session();
  readonly #guides: readonly string[];
  /** For each script one octet per character of its source: 1 when it has run in an input that was kept. */
  readonly #known = new Map<string, Uint8Array>();

  /** Counts from here on: functions that were compiled before are counted as well. */
  constructor(guides: readonly string[]) {
    this.#guides = guides;
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Looks at what ran since the last call. Returns whether any of it is new; with `keep` it is not new any more. */
  take(keep: boolean): boolean {
    let isNew = false;
    for (const script of this.#scripts()) {
      const ran = paint(script);
      const known = this.#knownOf(script.url, ran.length);
      for (let at = 0; at < ran.length; at++) {
        if (ran[at] !== 1 || known[at] === 1) continue;
        isNew = true;
        if (keep) known[at] = 1;
      }
    }
    return isNew;
  }

  /** What is known of a script, with room for `length`: V8 leaves out functions that did not run, also those at its end. */
  #knownOf(url: string, length: number): Uint8Array {
    const old = this.#known.get(url) ?? new Uint8Array(length);
    const known = old.length < length ? new Uint8Array(length) : old;
    if (known !== old) known.set(old);
    this.#known.set(url, known);
    return known;
  }

  /** Characters of source that have run, as a rough measure of progress. */
  get reached(): number {
    let sum = 0;
    for (const known of this.#known.values()) for (const octet of known) sum += octet;
    return sum;
  }

  close(): void {
    this.#session.post("Profiler.stopPreciseCoverage");
    this.#session.disconnect();
  }

  /** The inspector of the own process answers before `post` returns. */
  #scripts(): Profiler.ScriptCoverage[] {
    let scripts: Profiler.ScriptCoverage[] = [];
    this.#session.post("Profiler.takePreciseCoverage", (problem, found) => {
      if (problem !== null) throw problem;
      scripts = found.result;
    });
    return scripts.filter(({ url }) => this.#guides.some((guide) => url.endsWith(guide)));
  }
}

/** V8 leaves out a range that ran as often as the one around it: only painted one over the other do the ranges mean something. */
function paint({ functions }: Profiler.ScriptCoverage): Uint8Array {
  const ends = functions.flatMap(({ ranges }) => ranges.map(({ endOffset }) => endOffset));
  const ran = new Uint8Array(Math.max(0, ...ends));
  for (const { ranges, isBlockCoverage } of functions) {
    for (const { startOffset, endOffset, count } of ranges) {
      // Of a function without counters of its own blocks it is only known that it was entered.
      ran.fill(count > 0 ? 1 : 0, startOffset, isBlockCoverage ? endOffset : startOffset + 1);
    }
  }
  return ran;
}
