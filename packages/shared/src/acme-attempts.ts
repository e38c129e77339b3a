import * as z from "zod";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const MAX_DELAY_MS = 24 * HOUR_MS;
/** Let's Encrypt refuses the sixth failed validation of a name and account within an hour. */
const MAX_PER_HOUR = 5;
/** Hosts that failed together (an authority that was away) do not come back together. */
const JITTER = 0.1;

/** The value of `acme:attempts:{hostname}`: what failed since the last certificate. Absent: nothing did. */
const attemptsSchema = z.object({
  /** Directory it failed at; another one starts anew. */
  directory: z.string(),
  /** In a row. */
  failures: z.number().int().nonnegative(),
  /** When the last ones began, milliseconds since the epoch, oldest first. */
  began_at: z.array(z.number()),
  /** Milliseconds since the epoch. */
  not_before: z.number(),
  /** What of that wait the authority asked for, milliseconds since the epoch; absent when it did not. */
  retry_at: z.number().optional(),
  /** Of the last one; empty when it was no failure. */
  problem: z.string(),
});

export type Attempts = z.infer<typeof attemptsSchema>;

/** Longer than the longest delay: what is older says nothing about the authority any more. */
export const ATTEMPTS_TTL_MS = 7 * 24 * HOUR_MS;

/** The problem of an attempt that has begun, so that one whose process dies counts as failed. */
export const UNDER_WAY = "the attempt did not end";

/** Reads what failed, at whatever directory; undefined when nothing is known. Never throws. */
export function readAttempts(text: string | null): Attempts | undefined {
  if (text === null) return undefined;
  try {
    return attemptsSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/** Reads what failed at that directory; undefined when nothing is known. Never throws. */
export function parseAttempts(text: string | null, directory: string): Attempts | undefined {
  const attempts = readAttempts(text);
  return attempts?.directory === directory ? attempts : undefined;
}

export interface Failure {
  readonly directory: string;
  /** When the attempt began. */
  readonly beganAt: number;
  /** The time its wait is counted from. */
  readonly now: number;
  readonly problem: string;
  /** What the authority asked to wait, milliseconds. */
  readonly retryAfterMs?: number | undefined;
  /** 0 to 1. */
  readonly random: number;
}

/**
 * Adds a failure: the next attempt waits 1 minute, twice as long each time, up to 24 hours, never less than the authority asks, and so
 * that no hour sees more than five.
 */
export function afterFailure(before: Attempts | undefined, failure: Failure): Attempts {
  const failures = (before?.failures ?? 0) + 1;
  const beganAt = [...(before?.began_at ?? []), failure.beganAt].slice(-MAX_PER_HOUR);
  const doubled = Math.min(MAX_DELAY_MS, MINUTE_MS * 2 ** Math.min(failures - 1, 20));
  const delay = Math.min(MAX_DELAY_MS, doubled * (1 + JITTER * failure.random));
  const retryAt = failure.retryAfterMs === undefined ? undefined : failure.now + failure.retryAfterMs;
  return {
    directory: failure.directory,
    failures,
    began_at: beganAt,
    not_before: Math.ceil(Math.max(failure.now + delay, retryAt ?? 0, afterFive(beganAt))),
    ...(retryAt === undefined ? {} : { retry_at: Math.ceil(retryAt) }),
    problem: failure.problem,
  };
}

/**
 * Returns what is remembered of failures when a certificate has come: those of the last hour, which count towards the five of an hour whatever
 * succeeded in between. Undefined when there are none.
 */
export function afterSuccess(before: Attempts | undefined, now: number): Attempts | undefined {
  const beganAt = (before?.began_at ?? []).filter((at) => at > now - HOUR_MS);
  if (before === undefined || beganAt.length === 0) return undefined;
  return { directory: before.directory, failures: 0, began_at: beganAt, not_before: 0, problem: "" };
}

/**
 * Returns when an attempt may begin that an operator asks for, milliseconds since the epoch: whoever has mended something need not sit out the
 * doubled wait; what the authority asked for, and five an hour, hold all the same.
 */
export function notBeforeWhenAsked(attempts: Attempts | undefined): number {
  return Math.max(attempts?.retry_at ?? 0, afterFive(attempts?.began_at ?? []));
}

function afterFive(beganAt: readonly number[]): number {
  const [oldest = 0] = beganAt;
  return beganAt.length < MAX_PER_HOUR ? 0 : oldest + HOUR_MS + 1;
}
