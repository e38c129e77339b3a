/** Time, as what waits for hours and months sees it; a test passes one of its own. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number;
  /** Calls once after so many milliseconds; returns what cancels it. */
  after(milliseconds: number, call: () => void): () => void;
}

/** A timer holds 24.8 days; a longer one would fire at once. */
const LONGEST_TIMER_MS = 86_400_000;

/** Wakes early rather than never: who asked for more than a day is called after a day and looks again. */
export const SYSTEM_CLOCK: Clock = {
  now: () => Date.now(),
  after: (milliseconds, call) => {
    const timer = setTimeout(call, Math.min(milliseconds, LONGEST_TIMER_MS)).unref();
    return () => clearTimeout(timer);
  },
};
