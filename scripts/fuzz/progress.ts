import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inputLine, latin1 } from "@gatehouse/testbed/fuzz/target";
import type { SearchState } from "@gatehouse/testbed/fuzz/search";

/** What is known of one target's run, beside the search itself. */
export interface Progress {
  readonly search: SearchState;
  /** Seconds spent on inputs, over all processes. */
  readonly seconds: number;
  /** Day of the last input, `2026-11-26`. */
  readonly date: string;
  /** Characters of the guiding source files that have run. */
  readonly reached: number;
  /** Milliseconds of the slowest input of 64 KiB; and how many grew faster than their length. */
  readonly growth?: { readonly slowestMs: number; readonly steep: readonly string[] };
}

/** Inputs are stored as lines of ASCII. */
interface StoredProgress extends Omit<Progress, "search"> {
  readonly seed: number;
  readonly inputs: number;
  readonly corpus: readonly string[];
  readonly finds: readonly { readonly problem: string; readonly input: string }[];
}

const DIRECTORY = join(import.meta.dirname, "../../.cache/fuzz");

const fileOf = (name: string): string => join(DIRECTORY, `${name}.json`);

/** Returns what an earlier process wrote, or undefined. */
export function readProgress(name: string): Progress | undefined {
  let text: string;
  try {
    text = readFileSync(fileOf(name), "utf8");
  } catch {
    return undefined; // the first run
  }
  const { seed, inputs, corpus, finds, ...rest } = JSON.parse(text) as StoredProgress;
  const search = {
    seed,
    inputs,
    corpus: corpus.map((line) => octetsOf(line)),
    finds: finds.map(({ problem, input }) => ({ problem, input: octetsOf(input) })),
  };
  return { search, ...rest };
}

/** Writes it whole or not at all: a run may be killed at any moment. */
export function writeProgress(name: string, { search, ...rest }: Progress): void {
  const stored: StoredProgress = {
    ...rest,
    seed: search.seed,
    inputs: search.inputs,
    corpus: search.corpus.map(inputLine),
    finds: search.finds.map(({ problem, input }) => ({ problem, input: inputLine(input) })),
  };
  mkdirSync(DIRECTORY, { recursive: true });
  writeFileSync(`${fileOf(name)}.new`, `${JSON.stringify(stored)}\n`);
  renameSync(`${fileOf(name)}.new`, fileOf(name));
}

function octetsOf(line: string): Buffer {
  return latin1(JSON.parse(line) as string);
}
