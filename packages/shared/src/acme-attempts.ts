import { z } from "zod";

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
  problem: z.string(),
});

export type Attempts = z.infer<typeof attemptsSchema>;

/** Longer than the longest delay: what is older says nothing about the authority any more. */
export const ATTEMPTS_TTL_MS = 7 * 24 * HOUR_MS;

/** Reads what failed at that directory; undefined when nothing is known. Never throws. */
export function parseAttempts(text: string | null, directory: string): Attempts | undefined {
  if (text === null) return undefined;
  try {
    const attempts = attemptsSchema.safeParse(JSON.parse(text)).data;
    return attempts?.directory === directory ? attempts : undefined;
  } catch {
    return undefined;
  }
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
  const [oldest = 0] = beganAt.length === MAX_PER_HOUR ? beganAt : [];
  return {
    directory: failure.directory,
    failures,
    began_at: beganAt,
    not_before: Math.ceil(
      Math.max(
        failure.now + Math.max(delay, failure.retryAfterMs ?? 0),
        oldest === 0 ? 0 : oldest + HOUR_MS + 1,
      ),
    ),
    problem: failure.problem,
  };
}
