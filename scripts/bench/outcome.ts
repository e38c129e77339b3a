import { isLoadBound } from "./bottleneck.ts";
import type { Case, Figure } from "./case.ts";
import { median } from "./median.ts";
import type { Samples } from "./run-case.ts";
import type { Sample } from "./sample.ts";

/** The middle of several values and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

export function spread(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/** What one figure came to. */
export interface Outcome {
  readonly case: string;
  readonly figure: Figure;
  readonly subject: Spread;
  readonly peer: Spread;
  /** Of the pairs taken next to each other in time, so that what the machine does besides meets both. */
  readonly ratio: Spread;
  /** Undefined: nothing was to be reached. */
  readonly isReached: boolean | undefined;
  /** Contenders whose load generator was busy while they were not. */
  readonly loadBound: readonly string[];
}

export function outcomeOf(subject: Case, figure: Figure, samples: Samples): Outcome {
  const rounds = roundsOf(samples);
  const values = (name: string): readonly number[] =>
    rounds.map((round) => {
      const sample = round[name];
      return sample === undefined ? Number.NaN : figure.value(sample, round);
    });
  const [own, peers] = [values(figure.subject), values(figure.peer)];
  const ratio = spread(own.map((value, index) => value / (peers[index] ?? Number.NaN)));
  return {
    case: subject.name,
    figure,
    subject: spread(own),
    peer: spread(peers),
    ratio,
    isReached: figure.reach === undefined ? undefined : isReached(figure, ratio.median),
    loadBound: [figure.subject, figure.peer].filter((name) => isMostlyLoadBound(samples[name] ?? [])),
  };
}

function isReached({ better, reach = Number.NaN }: Figure, ratio: number): boolean {
  return better === "lower" ? ratio <= reach : ratio >= reach;
}

function roundsOf(samples: Samples): readonly Readonly<Record<string, Sample>>[] {
  const count = Math.min(...Object.values(samples).map(({ length }) => length));
  return Array.from({ length: count }, (_, round) =>
    Object.fromEntries(
      Object.entries(samples).flatMap(([name, all]) => {
        const sample = all[round];
        return sample === undefined ? [] : [[name, sample]];
      }),
    ),
  );
}

function isMostlyLoadBound(samples: readonly Sample[]): boolean {
  return samples.filter(isLoadBound).length * 2 > samples.length;
}
