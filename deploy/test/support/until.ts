import { setTimeout as delay } from "node:timers/promises";

/** Default wait for something that takes milliseconds on an idle machine. */
const TIMEOUT_MS = 15_000;
const POLL_MS = 20;

/**
 * Asks again and again until the answer passes, and returns it.
 * @throws when the time is over, with the last answer or the last error
 */
export async function until<T>(
  ask: () => T | Promise<T>,
  passes: (answer: T) => boolean,
  timeoutMs: number = TIMEOUT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await settle(ask);
    if (answer.ok && passes(answer.value)) return answer.value;
    if (performance.now() > deadline) {
      throw new Error(
        `not within ${timeoutMs} ms; last: ${answer.ok ? JSON.stringify(answer.value) : String(answer.error)}`,
      );
    }
    await delay(POLL_MS);
  }
}

type Settled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: unknown };

async function settle<T>(ask: () => T | Promise<T>): Promise<Settled<T>> {
  try {
    return { ok: true, value: await ask() };
  } catch (error) {
    return { ok: false, error };
  }
}
