import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";

/** What is measured has one core; the flood and the honest share the other. */
export const CORES = { gatehouse: 0, load: 1 } as const;

/** Weight of a session among the others (sched(7), "The autogroup feature"); `nice` counts within one only. */
export const WEIGHTS = { first: "-19", last: "19" } as const;

/** Keeps a process that leads a session, and what it starts from now on, on one core, before or behind the other sessions there. */
export function place(pid: number, core: number, weight: keyof typeof WEIGHTS): void {
  execFileSync("taskset", ["-a", "-c", "-p", String(core), String(pid)], { stdio: "ignore" });
  try {
    writeFileSync(`/proc/${pid}/autogroup`, WEIGHTS[weight]);
  } catch {
    // Without root, or where the kernel groups nothing, it is one among others.
  }
}
