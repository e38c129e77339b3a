import { formatTarget, type Target } from "@gatehouse/shared/route";

/** Failures in a row before a target is set aside: one may be chance, and each more may cost a peer the whole dial time. */
const FAILURES_TO_EJECT = 3;

/** First and longest time that a target is set aside; it doubles from one to the other while trials fail. */
const FIRST_EJECTION_MS = 1_000;
const LONGEST_EJECTION_MS = 30_000;

/** How long one connection may try an ejected target before another may; longer than any dial. */
const TRIAL_MS = 15_000;

/** A target that failed and was not dialled since is forgotten after this time: its route has changed, or nobody asks for it. */
const FORGET_MS = 120_000;

/** Failed targets remembered at most; beyond it a failure is not remembered, and the target stays in use. */
const MAX_FAILED_TARGETS = 10_000;

export interface TargetPoolOptions {
  /** A target was set aside; said once until {@link onReturned}. */
  readonly onEjected: (target: Target, error: Error) => void;
  /** An ejected target accepted a connection. */
  readonly onReturned: (target: Target) => void;
  /** Milliseconds of a clock that never goes back. Default `performance.now`. */
  readonly now?: () => number;
}

interface Ejection {
  /** When the next trial may be made. */
  until: number;
  pauseMs: number;
  /** End of the current trial; 0 when there is none. */
  trialUntil: number;
}

interface Failing {
  /** Failures since the last success. */
  count: number;
  lastAt: number;
  ejection: Ejection | undefined;
}

interface Ranked {
  readonly target: Target;
  readonly failing: Failing | undefined;
  readonly open: number;
  /** Place in the round that shares connections among targets with equally many. */
  readonly turn: number;
}

/**
 * Chooses among the targets of a route by open connections, over all routes that share a target, and sets aside those that refuse.
 * An ejected target is never withheld, only tried last: when all are ejected a peer still gets the attempt. After its pause one
 * connection tries it first. State exists only for targets that are in use or fail.
 */
export class TargetPool {
  readonly #options: TargetPoolOptions;
  readonly #now: () => number;
  /** Open connections by target; no entry for none. */
  readonly #open = new Map<string, number>();
  readonly #failing = new Map<string, Failing>();
  #round = 0;
  #nextSweep = 0;

  constructor(options: TargetPoolOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /**
   * Returns the targets in the order they should be dialled in: live ones by open connections, then ejected ones by soonest return. One
   * whose return is due comes first, once, as its trial. Call once per connection.
   */
  order(targets: readonly Target[]): readonly Target[] {
    if (targets.length <= 1) return targets;
    const now = this.#now();
    this.#round = (this.#round + 1) % Number.MAX_SAFE_INTEGER;
    const first = this.#round % targets.length;
    const ranked = targets.map((target, index): Ranked => {
      const key = formatTarget(target);
      return {
        target,
        failing: this.#failing.get(key),
        open: this.#open.get(key) ?? 0,
        turn: (index + first) % targets.length,
      };
    });
    ranked.sort(compare);
    const due = ranked.findIndex(({ failing }) => isDue(failing, now));
    const trial = ranked[due];
    if (trial?.failing?.ejection === undefined) return ranked.map(({ target }) => target);
    trial.failing.ejection.trialUntil = now + TRIAL_MS;
    return [trial, ...ranked.toSpliced(due, 1)].map(({ target }) => target);
  }

  /** Counts a connection, from the dial on; call the returned function once when it has closed. */
  opened(target: Target): () => void {
    const key = formatTarget(target);
    this.#open.set(key, (this.#open.get(key) ?? 0) + 1);
    let isOpen = true;
    return () => {
      if (!isOpen) return;
      isOpen = false;
      const left = (this.#open.get(key) ?? 0) - 1;
      if (left > 0) this.#open.set(key, left);
      else this.#open.delete(key);
    };
  }

  /** The target did not accept a connection. */
  failed(target: Target, error: Error): void {
    const key = formatTarget(target);
    const now = this.#now();
    this.#sweep(now);
    let failing = this.#failing.get(key);
    if (failing === undefined) {
      if (this.#failing.size >= MAX_FAILED_TARGETS) return;
      failing = { count: 0, lastAt: now, ejection: undefined };
      this.#failing.set(key, failing);
    }
    failing.count += 1;
    failing.lastAt = now;
    if (failing.ejection !== undefined) {
      prolong(failing.ejection, now);
    } else if (failing.count >= FAILURES_TO_EJECT) {
      failing.ejection = { until: now + FIRST_EJECTION_MS, pauseMs: FIRST_EJECTION_MS, trialUntil: 0 };
      this.#options.onEjected(target, error);
    }
  }

  /** The target accepted a connection. */
  succeeded(target: Target): void {
    const key = formatTarget(target);
    const failing = this.#failing.get(key);
    if (failing === undefined) return;
    this.#failing.delete(key);
    if (failing.ejection !== undefined) this.#options.onReturned(target);
  }

  /** Targets that are set aside now. */
  get ejected(): number {
    let count = 0;
    for (const { ejection } of this.#failing.values()) if (ejection !== undefined) count += 1;
    return count;
  }

  #sweep(now: number): void {
    if (now < this.#nextSweep) return;
    this.#nextSweep = now + FORGET_MS / 4;
    for (const [key, { lastAt }] of this.#failing) if (now - lastAt > FORGET_MS) this.#failing.delete(key);
  }
}

/** Live targets first, by open connections and then in turn; ejected ones by soonest return. */
function compare(a: Ranked, b: Ranked): number {
  const [left, right] = [a.failing?.ejection, b.failing?.ejection];
  if (left !== undefined && right !== undefined) return left.until - right.until || a.turn - b.turn;
  if (left !== undefined) return 1;
  if (right !== undefined) return -1;
  return a.open - b.open || a.turn - b.turn;
}

function isDue(failing: Failing | undefined, now: number): boolean {
  const ejection = failing?.ejection;
  return ejection !== undefined && ejection.until <= now && ejection.trialUntil <= now;
}

/** A failure before the pause is over is one of the attempts that peers get when all targets are down: it proves nothing new. */
function prolong(ejection: Ejection, now: number): void {
  if (now < ejection.until) return;
  ejection.pauseMs = Math.min(ejection.pauseMs * 2, LONGEST_EJECTION_MS);
  ejection.until = now + ejection.pauseMs;
  ejection.trialUntil = 0;
}
