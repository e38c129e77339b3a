import type { Case, Stage } from "./case.ts";
import type { Contender, ContenderStart } from "./contender.ts";
import type { BenchOptions } from "./options.ts";
import type { Place } from "./place.ts";
import type { Sample } from "./sample.ts";

/** A sample from which the hypervisor took more than this is taken again. */
const MOST_STEAL = 0.06;
const MOST_REPEATS = 2;

/** Samples of each contender by its name; those with the same index were taken next to each other. */
export type Samples = Readonly<Record<string, readonly Sample[]>>;

/** Runs a case: one round to warm up, then rounds in which the contenders take turns, each time in another order. */
export async function runCase(subject: Case, place: Place, options: BenchOptions): Promise<Samples> {
  const stage = await subject.open(place, options);
  const running = new Map<string, Contender>();
  const samples: Record<string, Sample[]> = {};
  const rounds = subject.rounds?.(options) ?? options.rounds;
  try {
    if (subject.isFresh !== true)
      for (const { name, start } of stage.contenders) running.set(name, await start());
    const firstRound = subject.isFresh === true ? 1 : 0;
    for (let round = firstRound; round <= rounds; round++) {
      for (const entry of turns(stage.contenders, round)) {
        const contender = running.get(entry.name);
        if (round === 0 && contender !== undefined) {
          await warmUp(stage, contender, warmUpSeconds(subject, contender, options));
        } else (samples[entry.name] ??= []).push(await quietSample(stage, contender, entry));
      }
    }
  } finally {
    await Promise.all([...running.values()].map((contender) => contender.stop()));
  }
  return samples;
}

/** Node compiles what is used much while it is used: the first seconds cost several times what the others do. */
function warmUpSeconds({ warmUpFactor = 1 }: Case, contender: Contender, options: BenchOptions): number {
  const { compiled, compiledAtRun } = options.warmUp;
  return contender.isCompiledAtRun === true ? compiledAtRun * warmUpFactor : compiled;
}

async function warmUp(stage: Stage, contender: Contender, seconds: number): Promise<void> {
  for (let left = seconds; left > 0;) left -= (await stage.sample(contender)).seconds;
}

/** Who comes first in one round comes last in the next. */
function turns<T>(all: readonly T[], round: number): readonly T[] {
  const shift = round % all.length;
  return [...all.slice(shift), ...all.slice(0, shift)];
}

async function quietSample(
  stage: Stage,
  running: Contender | undefined,
  { name, start }: ContenderStart,
): Promise<Sample> {
  let best: Sample | undefined;
  for (let attempt = 0; attempt <= MOST_REPEATS; attempt++) {
    const contender = running ?? (await start());
    try {
      const sample = await stage.sample(contender).catch((error: unknown) => {
        throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, {
          cause: error,
        });
      });
      if (best === undefined || sample.steal < best.steal) best = sample;
    } finally {
      if (running === undefined) await contender.stop();
    }
    if (best.steal <= MOST_STEAL) break;
  }
  if (best === undefined) throw new Error("no sample was taken");
  if (best.failed > best.units / 100)
    throw new Error(
      `${name}: ${best.failed} of ${best.units + best.failed} units failed: ${JSON.stringify(best)}`,
    );
  return best;
}
