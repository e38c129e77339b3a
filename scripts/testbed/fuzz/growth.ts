import type { FuzzTarget } from "./target.ts";
import { Random } from "./mutate.ts";

/** An input whose cost grew faster than its length. */
export interface Growth {
  readonly input: Buffer;
  readonly ms: number;
}

const SHORT_BYTES = 8 * 1024;
const FACTOR = 8;
/** Eight times the octets may cost so many times the time: linear with caches and collections; quadratic would be 64. */
const MAX_RATIO = 24;
/** Below this many milliseconds a measurement is mostly noise. */
const MIN_MS = 4;
const REPEATS = 5;

/**
 * Repeats a stretch of each input until it is 8 KiB and 64 KiB long, and compares the time. Returns the longest time of a long one, and
 * those that grew faster than linearly. Processor time, so that a busy machine does not matter; still measured: for a long run, not for a test.
 */
export async function measureGrowth(
  target: FuzzTarget,
  inputs: readonly Buffer[],
): Promise<{ readonly slowest: number; readonly steep: readonly Growth[] }> {
  const random = new Random(1);
  const steep: Growth[] = [];
  let slowest = 0;
  for (const input of inputs.filter(({ length }) => length > 0)) {
    const start = random.below(input.length);
    const end = Math.min(input.length, start + 1 + random.below(8));
    const stretched = (length: number): Buffer => {
      const filler = Buffer.alloc(length, input.subarray(start, end));
      return Buffer.concat([input.subarray(0, start), filler, input.subarray(end)]);
    };
    const long = await shortestTime(target, stretched(SHORT_BYTES * FACTOR));
    slowest = Math.max(slowest, long);
    if (long < MIN_MS) continue;
    const short = await shortestTime(target, stretched(SHORT_BYTES));
    if (long > short * MAX_RATIO) steep.push({ input: stretched(64), ms: long });
  }
  return { slowest, steep };
}

/** Milliseconds of processor time, the least of a few. */
async function shortestTime(target: FuzzTarget, input: Buffer): Promise<number> {
  let shortest = Infinity;
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    const start = process.cpuUsage();
    try {
      await target.check(input);
    } catch {
      // What breaks an invariant is the search's to find.
    }
    const { user, system } = process.cpuUsage(start);
    shortest = Math.min(shortest, (user + system) / 1000);
  }
  return shortest;
}
