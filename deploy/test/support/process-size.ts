import { readdirSync, readFileSync } from "node:fs";

/** What a process holds, as the kernel counts it. */
export interface ProcessSize {
  readonly descriptors: number;
  readonly residentBytes: number;
}

/** Reads the size of a process from /proc. */
export function processSize(pid: number): ProcessSize {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? "0";
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    residentBytes: Number(kibibytes) * 1024,
  };
}
