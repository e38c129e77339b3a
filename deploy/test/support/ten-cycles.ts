import { join } from "node:path";
import { expect } from "@jest/globals";
import { processSize, type ProcessSize } from "./process-size.ts";
import { until } from "./until.ts";

/** Environment of every process that {@link tenCycles} compares. */
export const MEASURABLE = {
  NODE_OPTIONS: `--import=${join(import.meta.dirname, "collect-on-signal.mjs")}`,
};

/** Before the first measurement: what a process allocates once (pools, compiled code, heap pages) is not a leak. */
const WARM_UP_CYCLES = 5;
const CYCLES = 10;
/** Connections of the last cycle end, and their memory with them. */
const SETTLE_TIMEOUT_MS = 30_000;
/** Measurements in a row without a change of descriptors before they count as standing still. */
const STILL = 10;

/**
 * Runs a fault again and again, and holds every named process to what it held before: the same descriptors, resident memory within
 * 10 per cent.
 */
export async function tenCycles(
  pids: () => Readonly<Record<string, number>>,
  cycle: (index: number) => Promise<void>,
): Promise<void> {
  let before: Record<string, ProcessSize> = {};
  for (let i = 0; i < WARM_UP_CYCLES + CYCLES; i++) {
    await cycle(i);
    // Every cycle ends collected: memory freed late, in one heap, stays with the allocator in pieces and looks like a leak.
    const now = await settled(pids);
    if (i === WARM_UP_CYCLES - 1) before = now;
  }
  const after = await until(
    () => measure(pids()),
    (now) => Object.entries(before).every(([role, size]) => isWithin(now[role], size)),
    SETTLE_TIMEOUT_MS,
  ).catch((error: unknown) => {
    throw new Error(`before: ${JSON.stringify(before)}`, { cause: error });
  });
  expect(Object.keys(after)).toEqual(Object.keys(before));
}

function isWithin(now: ProcessSize | undefined, before: ProcessSize): boolean {
  return (
    now !== undefined &&
    now.descriptors <= before.descriptors &&
    now.residentBytes <= before.residentBytes * 1.1
  );
}

function measure(pids: Readonly<Record<string, number>>): Record<string, ProcessSize> {
  const sizes = Object.entries(pids).map(([role, pid]) => [role, processSize(pid)] as const);
  // For the next look: a signal is not waited for.
  for (const pid of Object.values(pids)) process.kill(pid, "SIGUSR2");
  return Object.fromEntries(sizes);
}

async function settled(pids: () => Readonly<Record<string, number>>): Promise<Record<string, ProcessSize>> {
  let last = "";
  let repeats = 0;
  return until(
    () => measure(pids()),
    (now) => {
      const descriptors = JSON.stringify(Object.values(now).map((size) => size.descriptors));
      repeats = descriptors === last ? repeats + 1 : 0;
      last = descriptors;
      return repeats >= STILL;
    },
  );
}
