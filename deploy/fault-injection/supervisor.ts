import { setTimeout as delay } from "node:timers/promises";

/** RestartSec of the units. */
const RESTART_DELAY_MS = 1_000;
const WATCH_MS = 20;

/** A process that is to run. */
export interface Supervised {
  readonly role: string;
  readonly isRunning: boolean;
  start(): Promise<unknown>;
}

/** Starts processes again that died, as late as systemd does with our units. There, sockets of systemd hold connections meanwhile; here nothing does. */
export class Supervisor {
  /** Roles of those that were started again, in order. */
  readonly restarted: string[] = [];
  readonly #stopping = new AbortController();
  readonly #watches: Promise<void>[];

  constructor(processes: readonly Supervised[]) {
    this.#watches = processes.map((each) => this.#watch(each));
  }

  /** From now on what dies stays dead. */
  async close(): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#watches);
  }

  async #watch(watched: Supervised): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await delay(WATCH_MS);
      if (watched.isRunning) continue;
      await delay(RESTART_DELAY_MS);
      if (this.#stopping.signal.aborted) return;
      this.restarted.push(watched.role);
      await watched.start().catch(() => undefined); // the next round tries again
    }
  }
}
