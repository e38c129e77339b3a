import type { Contender, ContenderStart } from "./contender.ts";
import type { BenchOptions } from "./options.ts";
import type { Place } from "./place.ts";
import type { Sample } from "./sample.ts";

/** One number that is compared. */
export interface Figure {
  readonly id: string;
  /** What is done, in the words of the report. */
  readonly work: string;
  readonly unit: string;
  readonly better: "lower" | "higher";
  /** The ratio to reach; undefined: reported only. */
  readonly reach?: number;
  /** What the prototypes reached, before there was a Gatehouse. */
  readonly prototype?: string;
  readonly subject: string;
  readonly peer: string;
  /** The value of a sample; `round` has the samples of all contenders in the same round. */
  readonly value: (sample: Sample, round: Readonly<Record<string, Sample>>) => number;
}

export interface Case {
  readonly name: string;
  readonly title: string;
  /** What a reader has to know to judge the figures. */
  readonly note?: string;
  readonly figures: readonly Figure[];
  /** True: each sample has processes of its own, since what is left of the one before would be measured, too. */
  readonly isFresh?: boolean;
  /** Shares of the options' seconds and rounds, for cases that need more or less. */
  readonly rounds?: (options: BenchOptions) => number;
  /** How many times as long as in others it takes until what is compiled at run is. Default 1. */
  readonly warmUpFactor?: number;
  readonly open: (place: Place, options: BenchOptions) => Promise<Stage>;
}

/** A case on a machine: who takes part, and how one of them is measured. */
export interface Stage {
  readonly contenders: readonly ContenderStart[];
  readonly sample: (contender: Contender) => Promise<Sample>;
}

export const GIB: number = 1024 ** 3;
