import type { Sample } from "./sample.ts";

/** A core that is idle for less than this is busy all the time, as far as ticks of 10 ms can tell. */
const BUSY = 0.05;
/** The process under test could have done this much more, at least. */
const SPARE = 0.1;

/**
 * True when the load generator's core had nothing left while the core under test had: rates are then a lower bound of what the process
 * can do. CPU per unit stands all the same. Undefined idle shares mean that nothing was pinned, so nothing can be said.
 */
export function isLoadBound({ chainIdle, loadIdle }: Pick<Sample, "chainIdle" | "loadIdle">): boolean {
  return chainIdle !== undefined && loadIdle !== undefined && loadIdle < BUSY && chainIdle > SPARE;
}
