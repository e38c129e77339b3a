import { coreShares, readCoreTimes } from "./core-time.ts";
import type { Contender } from "./contender.ts";
import { LoadRun, type LoadResult, type LoadWords } from "./load-run.ts";
import type { NativeProgram } from "./native-programs.ts";
import { CHAIN_CORE, LOAD_CORE } from "./cores.ts";
import { treeCpuSeconds } from "./process-tree.ts";

/** One measurement of one contender. */
export interface Sample extends LoadResult {
  /** Seconds of CPU of all its processes, children included, during the work. */
  readonly chainCpu: number;
  /** Seconds of CPU of what works for it on the other core: the Redis that takes its records. */
  readonly asideCpu: number;
  /** Share of the time in which the core under test was idle; undefined where nothing is pinned. */
  readonly chainIdle?: number;
  readonly loadIdle?: number;
  /** Share of the time that the hypervisor took. */
  readonly steal: number;
  /** Octets of memory, where a case measures them. */
  readonly memory?: number;
}

export interface Load {
  readonly program: NativeProgram;
  readonly words: LoadWords;
  /** False: load and contender share all cores. */
  readonly isPinned?: boolean;
  /** Called when the connections stand, before the work. */
  readonly onReady?: () => void;
}

/** Puts a load on a contender and reads its counters exactly around the work. */
export async function takeSample(contender: Contender, load: Load): Promise<Sample> {
  const isPinned = load.isPinned ?? true;
  const words = { to: contender.to, ...load.words };
  const run = await LoadRun.start(load.program, words, isPinned ? LOAD_CORE : undefined);
  try {
    load.onReady?.();
    const aside = contender.aside ?? [];
    const before = [treeCpuSeconds(contender.pids), treeCpuSeconds(aside)] as const;
    const cores = readCoreTimes();
    const result = await run.work();
    const shares = coreShares(cores, readCoreTimes());
    const sample = {
      ...result,
      chainCpu: treeCpuSeconds(contender.pids) - before[0],
      asideCpu: treeCpuSeconds(aside) - before[1],
      steal: shares.steal,
    };
    await run.end();
    if (!isPinned) return sample;
    return {
      ...sample,
      chainIdle: shares.idle[CHAIN_CORE] ?? 0,
      loadIdle: shares.idle[LOAD_CORE] ?? 0,
    };
  } catch (error) {
    await run.abort();
    throw error;
  }
}
