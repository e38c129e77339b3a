import { settledSizes, sizesBackAt, type Pids, type Sizes } from "./held-size.ts";

/** Before the first measurement: what a process allocates once (pools, compiled code, heap pages) is not a leak. */
const WARM_UP_CYCLES = 5;
const CYCLES = 10;
/** V8 takes and gives back memory in steps: up and down by as much over 25 cycles, without a trend. */
const MEMORY_STEPS_BYTES = 16 * 1024 ** 2;

/**
 * Runs a fault again and again, and holds every named process to what it held before: the same descriptors, resident memory within
 * 10 per cent or 16 MiB. Memory that went up by more has to do so in ten more cycles, too: a leak does, one larger step does not.
 * They are to run in the environment `MEASURABLE`.
 */
export async function tenCycles(pids: Pids, cycle: (index: number) => Promise<void>): Promise<void> {
  let index = 0;
  const sizesAfter = async (cycles: number): Promise<Sizes> => {
    let now: Sizes = {};
    for (let i = 0; i < cycles; i++) {
      await cycle(index++);
      // Every cycle ends collected: memory freed late, in one heap, stays with the allocator in pieces and looks like a leak.
      now = await settledSizes(pids);
    }
    return now;
  };
  const before = await sizesAfter(WARM_UP_CYCLES);
  await sizesAfter(CYCLES);
  const isBack = await sizesBackAt(before, pids, MEMORY_STEPS_BYTES).then(
    () => true,
    () => false,
  );
  if (isBack) return;
  const grown = await settledSizes(pids);
  await sizesAfter(CYCLES);
  await sizesBackAt(withMemoryOf(grown, before), pids, MEMORY_STEPS_BYTES);
}

/** The roles and descriptors from before the first cycle that counts, for descriptors come in no steps, with the memory of now. */
function withMemoryOf(now: Sizes, before: Sizes): Sizes {
  return Object.fromEntries(
    Object.entries(before).map(([role, size]) => [
      role,
      { ...size, residentBytes: now[role]?.residentBytes ?? 0 },
    ]),
  );
}
