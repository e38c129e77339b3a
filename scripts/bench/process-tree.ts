import { readdirSync, readFileSync } from "node:fs";

const NANOSECONDS = 1e9;

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it has just ended
  }
}

function threads(pid: number): readonly string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** Returns a process and everything it started that still runs. */
export function processTree(pid: number): readonly number[] {
  const children = threads(pid).flatMap((thread) =>
    read(`/proc/${pid}/task/${thread}/children`).split(" ").filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(processTree)];
}

/** Returns the seconds of CPU that processes, their threads and their children have used; to the nanosecond, unlike /proc/PID/stat. */
export function treeCpuSeconds(roots: readonly number[]): number {
  const all = roots.flatMap(processTree);
  const spent = all.flatMap((pid) =>
    threads(pid).map((thread) => Number(read(`/proc/${pid}/task/${thread}/schedstat`).split(" ")[0])),
  );
  return spent.reduce((sum, each) => sum + (Number.isFinite(each) ? each : 0), 0) / NANOSECONDS;
}

/** Returns the octets of memory that processes and their children hold, what they share with others counted in parts. */
export function treeMemory(roots: readonly number[]): number {
  const all = roots.flatMap(processTree);
  const kib = all.map((pid) => Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0));
  return kib.reduce((sum, each) => sum + each, 0) * 1024;
}

/** Returns the octets resident of one process. */
export function residentMemory(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0) * 1024;
}
