import { once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import type { Gatehouse } from "./gatehouse.ts";

/** One try of something, again and again. */
export interface Attempt {
  /** When it was begun, and when it had an answer: `performance.now()`. */
  readonly began: number;
  readonly ended: number;
  /** A status, or what went wrong. */
  readonly outcome: string;
  /** What must not be lost once the outcome says that it was done. */
  readonly id: string;
}

/** Does something over and over until it is stopped, and keeps what came of it. */
export class Traffic {
  readonly attempts: Attempt[] = [];
  readonly #over = new AbortController();
  readonly #running: Promise<void>;

  constructor(pauseMs: number, attempt: (n: number) => Promise<{ outcome: string; id: string }>) {
    this.#running = (async () => {
      for (let n = 0; !this.#over.signal.aborted; n++) {
        const began = performance.now();
        const done = await attempt(n).catch((error: unknown) => ({ outcome: String(error), id: "" }));
        this.attempts.push({ began, ended: performance.now(), ...done });
        await delay(pauseMs);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#over.abort();
    await this.#running;
  }

  /** How often each outcome came. */
  get outcomes(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { outcome } of this.attempts) counts[outcome] = (counts[outcome] ?? 0) + 1;
    return counts;
  }

  /** Milliseconds from a moment to the answer of the last attempt that did not end so; 0 when all that ended later did. */
  failedFor(since: number, outcome: string): number {
    const last = this.attempts.findLast((attempt) => attempt.outcome !== outcome && attempt.ended > since);
    return last === undefined ? 0 : Math.round(last.ended - since);
  }

  /** What was acknowledged by this outcome and can't be found. */
  async lost(outcome: string, find: (id: string) => Promise<unknown>): Promise<Attempt[]> {
    const lost: Attempt[] = [];
    for (const attempt of this.attempts) {
      if (attempt.outcome === outcome && !(await find(attempt.id))) lost.push(attempt);
    }
    return lost;
  }
}

/** True when a name leads to an instance, whichever that is; false when the dispatcher knows no route for it. */
export async function isRouted({ port }: Gatehouse, servername: string): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  try {
    await once(socket, "secureConnect");
    return true;
  } catch (error) {
    if (/unrecognized.name|alert number 112/i.test(String(error))) return false;
    throw error;
  } finally {
    socket.destroy();
  }
}
