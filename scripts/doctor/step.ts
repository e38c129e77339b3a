import type { Chart } from "./chart.ts";

export type Outcome = "pass" | "fail" | "skipped";

/** What a step found. */
export interface Finding {
  readonly outcome: Outcome;
  /** What was seen, or why nothing was looked at. */
  readonly finding: string;
  /** Of what failed: the likely cause. */
  readonly cause?: string;
  /** Of what failed: the line that mends it. */
  readonly fix?: string;
}

/** One thing that a client does, or depends on. */
export interface Step {
  /** `group.what`; `docs/doctor.md` lists the same ids and a test compares the two. */
  readonly id: string;
  readonly title: string;
  /** Where it is written that it has to be so. */
  readonly clause: string;
  /** Steps without which this one would only repeat their failure. */
  readonly needs?: readonly string[];
  run(this: void, chart: Chart): Promise<Finding>;
}

/** A step with what it found. */
export interface Examined extends Finding {
  readonly id: string;
  readonly title: string;
  readonly clause: string;
}

export function pass(finding: string): Finding {
  return { outcome: "pass", finding };
}

export function skip(finding: string): Finding {
  return { outcome: "skipped", finding };
}

export function fail(finding: string, why: { readonly cause: string; readonly fix: string }): Finding {
  return { outcome: "fail", finding, ...why };
}
