import { setTimeout as delay } from "node:timers/promises";

/** Polls every 2 ms until the condition holds and returns the milliseconds it took; fails after the deadline. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 10_000,
): Promise<number> {
  const start = performance.now();
  while (!(await condition())) {
    if (performance.now() - start > deadlineMs)
      throw new Error(`not so within ${deadlineMs} ms: ${condition.toString()}`);
    await delay(2);
  }
  return performance.now() - start;
}
