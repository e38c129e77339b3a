/** The shortest of `npm run faults`: under load, what was acknowledged outlives a fault, and everything works again by itself. */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Bed } from "../../fault-injection/bed.ts";
import { processFaults } from "../../fault-injection/process-faults.ts";
import { redisFaults } from "../../fault-injection/redis-faults.ts";
import { runFault } from "../../fault-injection/run.ts";

const TIMEOUT_MS = 120_000;
/** Other tests have the machine's cores as well: a client waits longer here, and that counts as served. */
const PATIENCE_MS = 10_000;
const TIMING = { beforeMs: 1_200, afterMs: 4_500 };
const SECONDS = 2;

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start(PATIENCE_MS);
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
}, TIMEOUT_MS);

test.each(["redis-kill", "instance-kill", "dispatcher-stop"])(
  "%s: nothing acknowledged is lost, no other stream ends, and all is well within five seconds",
  async (name) => {
    const fault = [...processFaults, ...redisFaults].find((each) => each.name === name);
    if (fault === undefined) throw new Error(`no fault ${name}`);
    const seconds = Math.min(fault.seconds, SECONDS);
    const { missed, acknowledged, fates } = await runFault(bed, { ...fault, seconds }, TIMING);
    expect(missed).toEqual([]);
    expect(acknowledged).toBeGreaterThan(10);
    // A fault that nobody feels proves nothing, but for the frozen one, whose peers wait.
    const failed = fates.reduce((sum, fate) => sum + fate.failed, 0);
    expect(failed > 0 || name === "dispatcher-stop").toBe(true);
  },
  TIMEOUT_MS,
);
