import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

/** What was tried of one kind of traffic, and how much of it failed. */
export interface Count {
  readonly tried: number;
  /** While nothing was restarted that it needs: none is allowed. */
  readonly failed: number;
  /** While something was. */
  readonly interrupted: number;
}

/** What one process held before and after. */
export interface Held {
  readonly role: string;
  readonly descriptors: readonly [before: number, after: number];
  readonly megabytes: readonly [before: number, after: number];
}

/** What Redis held at the end. */
export interface RedisHeld {
  readonly megabytes: number;
  readonly boundMegabytes: number;
  readonly keys: number;
  /** OAuth keys that never end, signing keys aside. */
  readonly endless: number;
}

/** One run, measured. */
export interface Run {
  /** ISO 8601. */
  readonly day: string;
  readonly commit: string;
  /** Of traffic that is under the measurement: from the first measurement to the last. */
  readonly minutes: number;
  readonly counts: Readonly<Record<string, Count>>;
  /** Restarts, renewals and config changes, by what it was. */
  readonly events: Readonly<Record<string, number>>;
  readonly held: readonly Held[];
  readonly redis: RedisHeld;
  /** Goals that were missed. */
  readonly missed: readonly string[];
}

/** The runs so far, oldest first. A file that is not there is an empty list. */
export async function readRuns(path: string): Promise<Run[]> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Run[];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/** Adds a run to those on disk and returns all. */
export async function addRun(path: string, run: Run): Promise<Run[]> {
  const runs = [...(await readRuns(path)), run];
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(runs, undefined, 2)}\n`);
  return runs;
}

/** Minutes in sum. */
export function minutesOf(runs: readonly Run[]): number {
  return runs.reduce((sum, { minutes }) => sum + minutes, 0);
}
