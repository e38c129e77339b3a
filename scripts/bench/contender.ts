/** Something that is measured, running: Gatehouse or a peer. */
export interface Contender {
  readonly name: string;
  /** Where the load goes: a port of loopback, or `unix:PATH`. */
  readonly to: string;
  /** Its processes; what they start is counted with them. */
  readonly pids: readonly number[];
  /** Processes that work for it on the other core, reported apart. */
  readonly aside?: readonly number[];
  /** Compiled while it runs, so it needs a longer time to warm up. */
  readonly isCompiledAtRun?: boolean;
  /** Ends it. */
  readonly stop: () => Promise<void>;
}

/** Two as one, to which the load comes through the first. */
export function asOne(first: Contender, second: Pick<Contender, "pids" | "stop">): Contender {
  return {
    ...first,
    pids: [...first.pids, ...second.pids],
    stop: async () => {
      await Promise.all([first.stop(), second.stop()]);
    },
  };
}

export interface ContenderStart {
  readonly name: string;
  readonly start: () => Promise<Contender>;
}
