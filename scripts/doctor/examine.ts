import type { Environment } from "@gatehouse/shared/read-config";
import { Chart } from "./chart.ts";
import { cleanupSteps } from "./cleanup-steps.ts";
import type { DoctorRequest } from "./request.ts";
import { fail, skip, type Examined, type Finding, type Outcome, type Step } from "./step.ts";
import { STEPS } from "./steps.ts";
import { DoctorStore } from "./store.ts";
import { codeOf } from "./wire.ts";

/** Who hears of the examination while it lasts. */
export interface Audience {
  /** What the person at the keyboard has to do. */
  tell(this: void, text: string): void;
  /** Each step, once it is done. */
  examined?(this: void, examined: Examined): void;
  /** Raised when nobody wants to know any more: what was registered is deleted, and nothing else done. */
  readonly stop?: AbortSignal;
}

/** Takes every step in order; one whose ground failed is skipped, so that a fault is named once. Rejects for no fault of the host. */
export async function examine(
  request: DoctorRequest,
  env: Environment,
  audience: Audience,
): Promise<readonly Examined[]> {
  const store = await DoctorStore.open(env);
  const { tell, stop = new AbortController().signal } = audience;
  const chart = new Chart(request, store, { tell, stop });
  const outcomes = new Map<string, Outcome>();
  const all: Examined[] = [];
  try {
    for (const step of STEPS) {
      const finding = await take(step, chart, outcomes);
      const { id, title, clause } = step;
      const examined = { id, title, clause, ...finding };
      outcomes.set(id, finding.outcome);
      all.push(examined);
      audience.examined?.(examined);
    }
    return all;
  } finally {
    chart.close();
    await store.close();
  }
}

async function take(step: Step, chart: Chart, outcomes: ReadonlyMap<string, Outcome>): Promise<Finding> {
  if (chart.stop.aborted && !cleanupSteps.includes(step)) return skip("stopped");
  const missing = step.needs?.find((id) => !isGround(id, chart, outcomes));
  if (missing !== undefined) return skip(`needs ${missing}`);
  try {
    return await step.run(chart);
  } catch (error) {
    return fail(`it broke off: ${codeOf(error)}`, {
      cause: "the connection ended in the middle, or no answer came",
      fix: `scripts/gatehouse log hostname ${chart.request.hostname} --since 5m`,
    });
  }
}

/** With an address given there is nothing to resolve. */
function isGround(id: string, { request }: Chart, outcomes: ReadonlyMap<string, Outcome>): boolean {
  return outcomes.get(id) === "pass" || (id === "dns.resolve" && request.address !== undefined);
}
