import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { KINDS } from "./attempts.ts";
import { OPEN, PROTECTED, type Bed, type Place } from "./bed.ts";
import { fullDisk } from "./disk.ts";
import type { Fault } from "./fault.ts";
import { SECONDS } from "./process-faults.ts";

/** Fewer than any process has open: it gets none from now on, and keeps what it has. */
const DESCRIPTORS = 10;

/** Sends what a process prints into a file, as a service manager may, and from there to who reads it here. */
const PRINTS_TO_FILE = 'tail --pid=$$ -s 0.1 -n +1 -F "$0" 2>/dev/null & exec "$@" >>"$0"';

/** State directories and console output on the disk. */
async function processesOn({ path }: { readonly path: string }): Promise<Place> {
  const on = async (role: string): Promise<{ env: Record<string, string>; enter: string[] }> => {
    const state = join(path, role);
    await mkdir(state, { mode: 0o700 });
    return {
      env: { GATEHOUSE_STATE_DIR: state },
      enter: ["sh", "-c", PRINTS_TO_FILE, join(path, `${role}.log`)],
    };
  };
  return {
    dispatcher: await on("dispatcher"),
    instances: { [OPEN]: await on(OPEN), [PROTECTED]: await on(PROTECTED) },
  };
}

function exhaust(part: (bed: Bed) => { readonly pid: number }): Fault["inject"] {
  return async (bed) => {
    const { pid } = part(bed);
    const limits = readFileSync(`/proc/${pid}/limits`, "utf8");
    const [, soft = "", hard = ""] = /^Max open files\s+(\d+)\s+(\d+)/m.exec(limits) ?? [];
    const limit = (to: string): void =>
      void execFileSync("prlimit", ["--pid", String(pid), `--nofile=${to}:${hard}`]);
    limit(String(DESCRIPTORS));
    return async () => limit(soft);
  };
}

function missingForLimits(): string | undefined {
  try {
    execFileSync("prlimit", ["--pid", String(process.pid), "--nofile"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "no prlimit here (util-linux)";
  }
}

/** What a machine runs out of. */
export const resourceFaults: readonly Fault[] = [
  {
    name: "disk-full",
    title: "disk of the state directories and the console output: full",
    seconds: SECONDS,
    touches: [],
    spares: KINDS,
    ...fullDisk(processesOn),
  },
  {
    name: "descriptors-dispatcher",
    title: "dispatcher: no file descriptor left",
    seconds: SECONDS,
    touches: [],
    spares: ["kept connections", "streams"],
    missing: missingForLimits,
    inject: exhaust((bed) => bed.gatehouse.dispatcher),
  },
  {
    name: "descriptors-instance",
    title: "instance of the open host: no file descriptor left",
    seconds: SECONDS,
    touches: [],
    spares: ["kept connections", "streams", "logins", "registrations", "refreshes"],
    missing: missingForLimits,
    inject: exhaust((bed) => bed.gatehouse.instance(OPEN)),
  },
];
