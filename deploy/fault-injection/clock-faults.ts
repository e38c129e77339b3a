import { existsSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { KINDS } from "./attempts.ts";
import { PROTECTED, type Bed, type Place } from "./bed.ts";
import { findFaketime } from "./faketime.ts";
import type { Fault } from "./fault.ts";
import { SECONDS } from "./process-faults.ts";

const HOUR_SECONDS = 3600;
/** How often libfaketime looks into its file. */
const LOOK_SECONDS = 1;

const clocks = new WeakMap<Bed, string>();

/** Processes whose clock a file sets: seconds ahead of the machine's. Timers go on as they are, as with a clock that is really stepped. */
async function ownClock(): Promise<Place> {
  const [library, directory] = [await findFaketime(), await mkdtemp("/tmp/gatehouse-clock-")];
  const file = join(directory, "offset");
  await setClock(file, 0);
  return {
    env: {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_CACHE_DURATION: String(LOOK_SECONDS),
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      DONT_FAKE_MONOTONIC: "1",
    },
    finish: async (bed) => void clocks.set(bed, file),
    leave: async () => await rm(directory, { recursive: true, force: true }),
  };
}

async function setClock(file: string, seconds: number): Promise<void> {
  await writeFile(`${file}.new`, `${seconds < 0 ? "" : "+"}${seconds}\n`);
  await rename(`${file}.new`, file);
}

function step(seconds: number): Fault["inject"] {
  return async (bed) => {
    const file = clocks.get(bed) ?? "";
    await setClock(file, seconds);
    return async () => {
      await setClock(file, 0);
      await delay(LOOK_SECONDS * 1000);
    };
  };
}

function missing(): string | undefined {
  return existsSync("/etc/debian_version") ? undefined : "libfaketime is fetched from Debian's packages";
}

/** The clock of both tiers is stepped, and then set right; Redis and the provider have clocks of their own. */
export const clockFaults: readonly Fault[] = [
  {
    name: "clock-forward",
    title: "clock of both tiers: an hour ahead",
    seconds: SECONDS,
    // Access tokens have ended by then, and what was opened with them.
    touches: [PROTECTED],
    mayExpire: true,
    spares: KINDS.filter((kind) => kind !== "streams"),
    missing,
    place: ownClock,
    inject: step(HOUR_SECONDS),
  },
  {
    name: "clock-back",
    title: "clock of both tiers: an hour behind",
    seconds: SECONDS,
    touches: [],
    // They say themselves when they end, by the clock that was behind.
    endsItsTokens: true,
    spares: KINDS,
    missing,
    place: ownClock,
    inject: step(-HOUR_SECONDS),
  },
];
