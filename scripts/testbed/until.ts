import { setTimeout as delay } from "node:timers/promises";

/** Default wait for something that takes milliseconds on an idle machine: every core may be busy. */
const TIMEOUT_MS = 15_000;
const POLL_MS = 5;
/** Characters of the last answer that are shown: of a text that grew, its end says most. */
const LONGEST = 500;

/** What is left of an answer once it counts as one. */
type Said<T> = Exclude<T, undefined | null | false>;

/**
 * Asks again and again until there is an answer that passes, and returns it. Without `passes` anything does that is not undefined, null or
 * false. An error is an answer that does not pass, and so is one that never comes.
 * @throws when `timeoutMs` milliseconds are over, with the last answer or the last error
 */
export async function until<T>(ask: () => T | Promise<T>): Promise<Said<T>>;
export async function until<T>(
  ask: () => T | Promise<T>,
  passes: (answer: T) => boolean,
  timeoutMs?: number,
): Promise<T>;
export async function until<T>(
  ask: () => T | Promise<T>,
  passes: (answer: T) => boolean = isSaid,
  timeoutMs: number = TIMEOUT_MS,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await settle(ask, deadline);
    if (answer.kind === "value" && passes(answer.value)) return answer.value;
    if (performance.now() > deadline)
      throw new Error(`not within ${timeoutMs} ms: ${ask.toString()}; last: ${wordsFor(answer)}`);
    await delay(POLL_MS);
  }
}

type Answer<T> =
  | { readonly kind: "value"; readonly value: T }
  | { readonly kind: "error"; readonly error: unknown }
  | { readonly kind: "none" };

async function settle<T>(ask: () => T | Promise<T>, deadline: number): Promise<Answer<T>> {
  const { promise: late, resolve } = Promise.withResolvers<Answer<T>>();
  const timer = setTimeout(() => resolve({ kind: "none" }), Math.max(0, deadline - performance.now()) + 1);
  try {
    return await Promise.race([late, answerTo(ask)]);
  } finally {
    clearTimeout(timer);
  }
}

async function answerTo<T>(ask: () => T | Promise<T>): Promise<Answer<T>> {
  try {
    return { kind: "value", value: await ask() };
  } catch (error) {
    return { kind: "error", error };
  }
}

function isSaid(answer: unknown): boolean {
  return answer !== undefined && answer !== null && answer !== false;
}

function wordsFor(answer: Answer<unknown>): string {
  switch (answer.kind) {
    case "value":
      return (JSON.stringify(answer.value) ?? "undefined").slice(-LONGEST);
    case "error":
      return String(answer.error);
    case "none":
      return "no answer came";
  }
}
