/** What is asked of Gatehouse without pause while a fault is on, each by somebody it would trouble. */
export const KINDS = [
  "new connections",
  "kept connections",
  "streams",
  "logins",
  "registrations",
  "refreshes",
  "operator",
] as const;
export type Kind = (typeof KINDS)[number];

/** One thing that was tried, and how it went. Times are milliseconds of `performance.now`. */
export interface Attempt {
  readonly kind: Kind;
  readonly startedAt: number;
  readonly endedAt: number;
  /** Undefined when it went well. */
  readonly problem: string | undefined;
}

const NO_ANSWER = "no answer";

/** A page or a stack is not for a line of the terminal. */
const MAX_PROBLEM_CHARACTERS = 100;

/** Everything that was tried in one run. */
export class Attempts {
  readonly all: Attempt[] = [];
  /** Longest that a client waits for an answer: whoever waits longer has been failed, whatever comes then. Milliseconds. */
  readonly patienceMs: number;

  constructor(patienceMs: number) {
    this.patienceMs = patienceMs;
  }

  /** Makes one attempt, and returns what it brought; undefined when it failed. */
  async make<T>(kind: Kind, work: () => Promise<T>): Promise<T | undefined> {
    const startedAt = performance.now();
    let problem: string | undefined;
    try {
      return await within(this.patienceMs, work());
    } catch (error) {
      problem = problemOf(error);
      return undefined;
    } finally {
      this.all.push({ kind, startedAt, endedAt: performance.now(), problem });
    }
  }

  /** Counts something that ended unasked. */
  fail(kind: Kind, problem: string): void {
    const now = performance.now();
    this.all.push({ kind, startedAt: now, endedAt: now, problem });
  }

  /** What was begun in a span of time. */
  between(from: number, to: number): Attempt[] {
    return this.all.filter(({ startedAt }) => startedAt >= from && startedAt < to);
  }
}

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  const { promise: over, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(NO_ANSWER)), milliseconds);
  try {
    return await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

function problemOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  const inner = cause instanceof Error ? cause : error;
  const { name, code, message } = inner as { name?: unknown; code?: unknown; message?: unknown };
  if (name === "TimeoutError" || name === "AbortError") return NO_ANSWER;
  const [line = ""] = String(code ?? message ?? inner).split("\n");
  return line.slice(0, MAX_PROBLEM_CHARACTERS);
}
