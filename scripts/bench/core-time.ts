import { readFileSync } from "node:fs";

/** What a core did, in ticks since the machine's start. */
export interface CoreTime {
  readonly idle: number;
  /** Time that the hypervisor gave to somebody else. */
  readonly steal: number;
  readonly total: number;
}

/** Reads the `cpuN` lines of /proc/stat, in the order of the cores. */
export function parseCoreTimes(text: string): readonly CoreTime[] {
  return text
    .split("\n")
    .filter((line) => /^cpu\d/.test(line))
    .map((line) => {
      const fields = line.split(/\s+/).slice(1, 9).map(Number);
      const [, , , idle = 0, waiting = 0, , , steal = 0] = fields;
      return { idle: idle + waiting, steal, total: fields.reduce((sum, each) => sum + each, 0) };
    });
}

export function readCoreTimes(): readonly CoreTime[] {
  return parseCoreTimes(readFileSync("/proc/stat", "utf8"));
}

export interface CoreShares {
  /** Share of the time between two readings, 0 to 1, for each core. */
  readonly idle: readonly number[];
  /** Of all cores together. */
  readonly steal: number;
}

export function coreShares(before: readonly CoreTime[], after: readonly CoreTime[]): CoreShares {
  const spans = after.map((core, number) => ({
    idle: core.idle - (before[number]?.idle ?? 0),
    steal: core.steal - (before[number]?.steal ?? 0),
    total: core.total - (before[number]?.total ?? 0),
  }));
  const sum = (field: "steal" | "total"): number => spans.reduce((all, span) => all + span[field], 0);
  return {
    idle: spans.map(({ idle, total }) => (total === 0 ? 1 : idle / total)),
    steal: sum("total") === 0 ? 0 : sum("steal") / sum("total"),
  };
}
