import { setTimeout as delay } from "node:timers/promises";
import { Attempts, KINDS, type Attempt, type Kind } from "./attempts.ts";
import type { Bed } from "./bed.ts";
import type { Fault } from "./fault.ts";
import { Ledger } from "./ledger.ts";
import { Load } from "./load.ts";
import { Session } from "./session.ts";
import { STREAMS, Streams } from "./streams.ts";

/** Longest time from the end of a fault to the last attempt that fails. */
const RECOVERY_GOAL_MS = 5_000;

/** How often a bed may be found unwell before a fault: on a machine with too much else to do, nothing could be told from what fails. */
const UNWELL = 10;

/** How long streams are waited for that TCP keeps waiting. */
const LONGEST_STILL_MS = 60_000;

/** All in milliseconds. */
export interface Timing {
  /** Without any failure before the fault. */
  readonly beforeMs: number;
  /** Watched after its end. */
  readonly afterMs: number;
}

/** How one kind of attempts fared. */
export interface Fate {
  readonly kind: Kind;
  readonly tried: number;
  readonly failed: number;
  /** Milliseconds from the beginning of the fault to the first and the last attempt that failed. */
  readonly firstMs: number;
  readonly lastMs: number;
  /** The last that ended went well. */
  readonly isWell: boolean;
  /** How they failed, the most frequent first. */
  readonly problems: readonly string[];
}

/** What one fault did. */
export interface Outcome {
  readonly fault: Fault;
  readonly fates: readonly Fate[];
  /** Milliseconds from the end of the fault to the last attempt that failed; 0 when none did. */
  readonly recoveryMs: number;
  /** The same of those alone that need no connection from before. */
  readonly newRecoveryMs: number;
  /** Milliseconds from the end of the fault until no stream stood still any more. */
  readonly flowingMs: number;
  readonly streamsEnded: number;
  readonly acknowledged: number;
  /** What was acknowledged and is gone. */
  readonly lost: readonly string[];
  /** Every goal that was missed, in words. Empty: all are met. */
  readonly missed: readonly string[];
}

/** What was issued while a fault was on is acknowledged so much later at most. */
const LATE_ANSWER_MS = 1_000;

/** Puts a bed under load, injects a fault, ends it, watches what comes back, and asks for everything that was acknowledged. */
export async function runFault(bed: Bed, fault: Fault, timing: Timing): Promise<Outcome> {
  const [attempts, ledger] = [new Attempts(bed.patienceMs), new Ledger()];
  const { mayExpire = false } = fault;
  const session = await Session.start(bed, mayExpire);
  const streams = await Streams.start(bed, attempts, session);
  const load = await Load.start({ bed, attempts, ledger, mayExpire }, session);
  try {
    await untilWell(attempts, timing.beforeMs);
    const pids = pidsOf(bed);
    const restartedBefore = bed.supervisor.restarted.length;
    const beganAt = performance.now();
    const end = await fault.inject(bed);
    await delay(fault.seconds * 1000);
    await end();
    const endedAt = performance.now();
    await delay(timing.afterMs);
    if (fault.isOutlastedByTcp === true) {
      await untilFlowing(streams);
      await delay(timing.afterMs);
    }
    const during = attempts.between(beganAt, performance.now());
    const stillOpen = streams.open;
    const flowingMs = streams.stillUntil(endedAt) - endedAt;
    await load.stop();
    await streams.stop();
    if (fault.endsItsTokens === true) ledger.forgetAccessTokens(beganAt, endedAt + LATE_ANSWER_MS);
    const ended = streams.ended.filter(({ at }) => at >= beganAt);
    const outcome = {
      fault,
      fates: KINDS.map((kind) => fateOf(kind, during, beganAt)),
      recoveryMs: recoveryOf(during, endedAt),
      newRecoveryMs: recoveryOf(during.filter(isNew), endedAt),
      flowingMs,
      streamsEnded: ended.length,
      acknowledged: ledger.size,
      lost: await ledger.verify(bed),
    };
    const restarted = bed.supervisor.restarted.slice(restartedBefore);
    const missed = [
      ...missedBy(outcome, ended, stillOpen),
      ...strayRestarts({ fault, restarted, before: pids, after: pidsOf(bed) }),
    ];
    return { ...outcome, missed };
  } finally {
    await load.stop();
    await streams.stop();
  }
}

async function untilFlowing(streams: Streams): Promise<void> {
  const deadline = performance.now() + LONGEST_STILL_MS;
  while (streams.isStill && performance.now() < deadline) await delay(100);
}

/** @throws when something fails in every span of time that is looked at, though no fault is on */
async function untilWell(attempts: Attempts, milliseconds: number): Promise<void> {
  let problem: string | undefined;
  for (let round = 0; round < UNWELL; round += 1) {
    const since = performance.now();
    await delay(milliseconds);
    const seen = attempts.all.filter(({ endedAt }) => endedAt >= since);
    const failed = seen.find((attempt) => attempt.problem !== undefined);
    const idle = KINDS.find((kind) => kind !== "streams" && !seen.some((attempt) => attempt.kind === kind));
    if (failed === undefined && idle === undefined) return;
    problem = failed === undefined ? `${idle}: none ended` : `${failed.kind}: ${failed.problem}`;
  }
  throw new Error(`the bed is not well before the fault: ${problem}`);
}

function fateOf(kind: Kind, during: readonly Attempt[], beganAt: number): Fate {
  const tried = during.filter((attempt) => attempt.kind === kind);
  const failed = tried.filter(({ problem }) => problem !== undefined);
  const problems = Map.groupBy(failed, ({ problem }) => problem ?? "");
  return {
    kind,
    tried: tried.length,
    failed: failed.length,
    firstMs: (failed[0]?.startedAt ?? beganAt) - beganAt,
    lastMs: Math.max(0, ...failed.map(({ startedAt }) => startedAt - beganAt)),
    isWell: tried.at(-1)?.problem === undefined,
    problems: [...problems]
      .toSorted(([, a], [, b]) => b.length - a.length)
      .map(([problem, { length }]) => `${length} ${problem}`),
  };
}

function isNew({ kind }: Attempt): boolean {
  return kind === "new connections" || kind === "operator";
}

function recoveryOf(during: readonly Attempt[], endedAt: number): number {
  const late = during.filter(({ problem, startedAt }) => problem !== undefined && startedAt > endedAt);
  return Math.max(0, ...late.map(({ startedAt }) => startedAt - endedAt));
}

function missedBy(outcome: Omit<Outcome, "missed">, ended: Streams["ended"], stillOpen: number): string[] {
  const { fault, fates, lost } = outcome;
  const { isOutlastedByTcp = false } = fault;
  const backMs = isOutlastedByTcp ? outcome.newRecoveryMs : Math.max(outcome.recoveryMs, outcome.flowingMs);
  const strays = ended.filter(({ host }) => !fault.touches.includes(host));
  const missed = lost.map((what) => `lost: ${what}`);
  if (backMs > RECOVERY_GOAL_MS) missed.push(`not back within ${RECOVERY_GOAL_MS / 1000} s`);
  if (strays.length > 0) missed.push(`${strays.length} streams ended that the fault did not touch`);
  if (stillOpen < STREAMS) missed.push(`only ${stillOpen} of ${STREAMS} streams are open again`);
  return [...missed, ...fates.flatMap((fate) => missedByKind(fault, fate))];
}

function missedByKind(fault: Fault, { kind, tried, failed, problems, isWell }: Fate): string[] {
  if (failed > 0 && fault.spares.includes(kind)) return [`${kind} failed (${problems[0]})`];
  // How many streams are open is counted apart.
  if (kind === "streams") return [];
  if (tried === 0) return [`${kind}: none was tried`];
  return isWell ? [] : [`${kind}: not well again`];
}

type Pids = ReadonlyMap<string, number>;

function pidsOf(bed: Bed): Pids {
  return new Map(bed.processes.map((each) => [each.role, each.isRunning ? each.pid : 0]));
}

/** Recovery without a restart: but for those that the fault ended, every process is the one it was. */
function strayRestarts(seen: {
  fault: Fault;
  restarted: readonly string[];
  before: Pids;
  after: Pids;
}): string[] {
  const { fault, restarted, before, after } = seen;
  const expected = fault.restarts ?? [];
  const strays = [...before].filter(([role, pid]) => after.get(role) !== pid && !expected.includes(role));
  const missed = strays.map(([role]) => `${role} ended`);
  for (const role of expected) {
    const times = restarted.filter((each) => each === role).length;
    if (times !== 1) missed.push(`${role} was started again ${times} times, not once`);
  }
  return missed;
}
