import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

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
