import { expect } from "@jest/globals";
import { settledSizes, sizesBackAt, type Pids, type Sizes } from "./held-size.ts";

/** Before the first measurement: what a process allocates once (pools, compiled code, heap pages) is not a leak. */
const WARM_UP_CYCLES = 5;
const CYCLES = 10;
/** V8 takes and gives back memory in steps: up and down by as much over 25 cycles, without a trend. */
const MEMORY_STEPS_BYTES = 16 * 1024 ** 2;

/**
 * Runs a fault again and again, and holds every named process to what it held before: the same descriptors, resident memory within
 * 10 per cent or 16 MiB. They are to run in the environment `MEASURABLE`.
 */
export async function tenCycles(pids: Pids, cycle: (index: number) => Promise<void>): Promise<void> {
  let before: Sizes = {};
  for (let i = 0; i < WARM_UP_CYCLES + CYCLES; i++) {
    await cycle(i);
    // Every cycle ends collected: memory freed late, in one heap, stays with the allocator in pieces and looks like a leak.
    const now = await settledSizes(pids);
    if (i === WARM_UP_CYCLES - 1) before = now;
  }
  const after = await sizesBackAt(before, pids, MEMORY_STEPS_BYTES);
  expect(Object.keys(after)).toEqual(Object.keys(before));
}
