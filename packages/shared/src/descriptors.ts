import { readFileSync } from "node:fs";

/** Descriptors kept back for Redis, listeners, the admin address, the resolver and files. */
const RESERVED_DESCRIPTORS = 128;
/** Taken where the kernel doesn't say: the usual soft limit. */
const ASSUMED_DESCRIPTORS = 1024;

/** Returns how many connections the descriptors of this process allow: two each (peer and target), some kept back. At least 1. */
export function connectionsAllowedByDescriptors(): number {
  return Math.max(1, Math.floor((descriptorLimit() - RESERVED_DESCRIPTORS) / 2));
}

function descriptorLimit(): number {
  try {
    const soft = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1];
    return soft === undefined ? ASSUMED_DESCRIPTORS : Number(soft);
  } catch {
    // No /proc on this system.
    return ASSUMED_DESCRIPTORS;
  }
}
