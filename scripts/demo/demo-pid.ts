import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** How the demo's own process is told from another one that got its number later. */
const OWN_COMMAND = /demo[/\\]main\.(?:ts|js)/;

/** The pid of the demo that runs with this state directory, or undefined. */
export function runningDemo(stateDir: string): number | undefined {
  let pid: number;
  try {
    pid = Number(readFileSync(pidFile(stateDir), "utf8"));
  } catch {
    return undefined;
  }
  return Number.isInteger(pid) && pid > 0 && OWN_COMMAND.test(commandLine(pid)) ? pid : undefined;
}

/**
 * Claims the state directory for this process until it ends.
 * @returns the pid of the demo that has it already, or undefined when it is ours now
 */
export function claimStateDir(stateDir: string): number | undefined {
  const path = pidFile(stateDir);
  const holder = runningDemo(stateDir);
  if (holder !== undefined && holder !== process.pid) return holder;
  rmSync(path, { force: true });
  try {
    writeFileSync(path, String(process.pid), { flag: "wx" });
  } catch (error) {
    const winner = runningDemo(stateDir); // another one was faster
    if (winner === undefined) throw error;
    return winner;
  }
  process.once("exit", () => rmSync(path, { force: true }));
  return undefined;
}

function pidFile(stateDir: string): string {
  return join(stateDir, "demo.pid");
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return spawnSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" }).stdout ?? "";
  }
}
