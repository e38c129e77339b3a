import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";

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

/** Counts open connections in total and per address. An IPv6 peer counts by its /64: it owns every address in it. */
export class ConnectionLimits {
  readonly #max: number;
  readonly #maxPerAddress: number;
  readonly #perAddress = new Map<string, number>();
  #total = 0;

  constructor(limits: { readonly max: number; readonly maxPerAddress: number }) {
    this.#max = limits.max;
    this.#maxPerAddress = limits.maxPerAddress;
  }

  get total(): number {
    return this.#total;
  }

  /** Counts one connection, or returns false at the limit. */
  enter(): boolean {
    if (this.#total >= this.#max) return false;
    this.#total++;
    return true;
  }

  leave(): void {
    this.#total--;
  }

  /** Counts one connection of this canonical address, or returns false at its limit. */
  enterAddress(ip: string): boolean {
    const group = addressGroup(ip);
    const open = this.#perAddress.get(group) ?? 0;
    if (open >= this.#maxPerAddress) return false;
    this.#perAddress.set(group, open + 1);
    return true;
  }

  leaveAddress(ip: string): void {
    const group = addressGroup(ip);
    const open = (this.#perAddress.get(group) ?? 1) - 1;
    if (open > 0) this.#perAddress.set(group, open);
    else this.#perAddress.delete(group);
  }
}

/** Returns the first four groups of an IPv6 address, any other address as it is. */
export function addressGroup(ip: string): string {
  if (!isIPv6(ip)) return ip;
  const [head = "", tail] = ip.toLowerCase().split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const groups =
    tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill("0"), ...right];
  return groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":");
}
