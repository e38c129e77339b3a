import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";

/** Of the kernel's accounting (USER_HZ), the same on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Returns the seconds of CPU, user and system, that a process and its threads have used. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // Behind the name, which may hold anything, spaces and parentheses included.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

/** Keeps a process, its threads and what it starts from now on, on one core. */
export function pinTo(core: number, pid: number): void {
  const { status, stderr } = spawnSync("taskset", ["-a", "-c", "-p", String(core), String(pid)], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`taskset (util-linux) is needed: ${stderr}`);
}

/** The most that the kernel gives a session; `nice` counts within one only (sched(7), "The autogroup feature"). */
const FIRST = "-19";

/**
 * Puts the session of a process before what else runs on the machine: a process that is often held up has cold caches, and never gets to
 * the code that Node compiles for what is hot. Without root, or where the kernel groups nothing, it is one among others.
 */
export function putFirst(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/autogroup`, FIRST);
  } catch {
    // as said above
  }
}
