import { setTimeout as sleep } from "node:timers/promises";

/** Polls until the condition holds. @throws after the deadline (milliseconds), so that a hang names its place. */
export async function eventually(
  condition: () => boolean | Promise<boolean>,
  deadlineMs = 15_000,
): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within ${deadlineMs} ms: ${condition.toString()}`);
    await sleep(5);
  }
}
