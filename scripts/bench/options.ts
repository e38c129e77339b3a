import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { REPOSITORY } from "../demo/options.ts";

export const USAGE = `pnpm bench -- [--quick] [--growth] [--only CASE,...] [--install] [--out DIR] [--list]
  --quick      short samples, few rounds: under 3 minutes, to see that all of it works. The figures are rough
  --growth     the curves instead of the cases: connections, idle connections, routes, instances, host configs
  --only LIST  these cases (or curves) only
  --install    install what is missing (apt-get, as root); without it the line to type is printed
  --out DIR    write benchmarks.md and benchmarks/*.json there; docs for a whole run, .cache/bench for any other
  --list       print the names of cases and curves
`;

export interface BenchOptions {
  readonly isQuick: boolean;
  readonly isGrowth: boolean;
  readonly isInstall: boolean;
  readonly isList: boolean;
  /** Names of cases; undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Directory that benchmarks.md is written to. */
  readonly out: string;
  readonly rounds: number;
  /** Seconds of one sample. */
  readonly seconds: number;
  /** Seconds of load at least before anything is measured: for a program that is compiled already, and for one that is not. */
  readonly warmUp: { readonly compiled: number; readonly compiledAtRun: number };
}

/** Reads the words of the command. @throws TypeError for words it doesn't know */
export function readBenchOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: args.filter((word) => word !== "--"),
    options: {
      quick: { type: "boolean", default: false },
      growth: { type: "boolean", default: false },
      install: { type: "boolean", default: false },
      list: { type: "boolean", default: false },
      only: { type: "string" },
      out: { type: "string" },
    },
  });
  const isWhole = !values.quick && values.only === undefined;
  return {
    isQuick: values.quick,
    isGrowth: values.growth,
    isInstall: values.install,
    isList: values.list,
    only: values.only?.split(","),
    out: resolve(values.out ?? join(REPOSITORY, isWhole ? "docs" : ".cache/bench")),
    rounds: values.quick ? 2 : 5,
    warmUp: values.quick ? { compiled: 0.5, compiledAtRun: 1 } : { compiled: 2, compiledAtRun: 12 },
    seconds: values.quick ? 0.5 : 2,
  };
}
