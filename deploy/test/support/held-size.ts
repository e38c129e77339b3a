import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { processSize, type ProcessSize } from "./process-size.ts";
import { until } from "@gatehouse/testbed/until";

export type Pids = () => Readonly<Record<string, number>>;
export type Sizes = Readonly<Record<string, ProcessSize>>;

/** Environment of every process whose memory is compared. */
export const MEASURABLE = {
  NODE_OPTIONS: `--import=${join(import.meta.dirname, "collect-on-signal.mjs")}`,
};

/** Connections that were closed last end, and their memory with them. */
const SETTLE_TIMEOUT_MS = 30_000;
const REST_PAUSE_MS = 3000;
/** A collection takes about as long: asked for more often, a process would do nothing else. */
const COLLECT_PAUSE_MS = 20;
/** Measurements in a row without a change of descriptors before they count as standing still. */
const STILL = 10;

/** Measures again and again, collecting garbage in between, until the descriptors of all processes stand still. */
export async function settledSizes(pids: Pids): Promise<Sizes> {
  let last = "";
  let repeats = 0;
  return await until(
    () => measure(pids()),
    (now) => {
      const descriptors = JSON.stringify(Object.values(now).map((size) => size.descriptors));
      repeats = descriptors === last ? repeats + 1 : 0;
      last = descriptors;
      return repeats >= STILL;
    },
    SETTLE_TIMEOUT_MS,
  );
}

/** Growing and shrinking by less, memory is at rest. */
const REST_FACTOR = 0.97;
const MAX_LOOKS = 10;

/**
 * As {@link settledSizes}, until memory goes down no more: after heavy traffic much of it is given back late, and a measurement before that
 * would allow a leak of as much. Descriptors are the most of all looks: who collects all the time may lose a connection to Redis, and
 * have it again when it is left alone.
 */
export async function restingSizes(pids: Pids): Promise<Sizes> {
  let now = await settledSizes(pids);
  for (let look = 1; look < MAX_LOOKS; look += 1) {
    await delay(REST_PAUSE_MS);
    const before = now;
    now = withMostDescriptors(await settledSizes(pids), before);
    const isAtRest = Object.entries(now).every(
      ([role, { residentBytes }]) => residentBytes >= (before[role]?.residentBytes ?? 0) * REST_FACTOR,
    );
    if (isAtRest) break;
  }
  return now;
}

function withMostDescriptors(now: Sizes, before: Sizes): Sizes {
  return Object.fromEntries(
    Object.entries(now).map(([role, size]) => {
      const descriptors = Math.max(size.descriptors, before[role]?.descriptors ?? 0);
      return [role, { ...size, descriptors }];
    }),
  );
}

/**
 * Measures until every process holds no more than before: the same descriptors, resident memory within 10 per cent, or
 * within `stepsBytes` where that is more.
 * @throws when one doesn't come back to that
 */
export async function sizesBackAt(before: Sizes, pids: Pids, stepsBytes = 0): Promise<Sizes> {
  return await until(
    () => measure(pids()),
    (now) => exceeding(now, before, stepsBytes).length === 0,
    SETTLE_TIMEOUT_MS,
  ).catch((error: unknown) => {
    throw new Error(`before: ${JSON.stringify(before)}`, { cause: error });
  });
}

/** Returns the processes that hold more than before: more descriptors, or resident memory by more than 10 per cent and `stepsBytes`. */
export function exceeding(now: Sizes, before: Sizes, stepsBytes = 0): string[] {
  return Object.entries(before)
    .filter(([role, size]) => {
      const { descriptors, residentBytes } = now[role] ?? { descriptors: Infinity, residentBytes: Infinity };
      const most = size.residentBytes + Math.max(size.residentBytes * 0.1, stepsBytes);
      return descriptors > size.descriptors || residentBytes > most;
    })
    .map(([role]) => role);
}

/** Collects for the next look, too: a signal is not waited for. */
async function measure(pids: Readonly<Record<string, number>>): Promise<Sizes> {
  await delay(COLLECT_PAUSE_MS);
  const sizes = Object.entries(pids).map(([role, pid]) => [role, processSize(pid)] as const);
  for (const pid of Object.values(pids)) process.kill(pid, "SIGUSR2");
  return Object.fromEntries(sizes);
}
