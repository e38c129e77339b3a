import type { Chart } from "./chart.ts";
import { fail, pass, skip, type Finding, type Step } from "./step.ts";
import { codeOf } from "./wire.ts";

/** Nothing of the examination stays behind; tokens end with their client. */
export const cleanupSteps: readonly Step[] = [
  {
    id: "registration.delete",
    title: "what was registered is deleted again",
    clause: "RFC 7592 2.3",
    run: deleteRegistered,
  },
];

async function deleteRegistered(chart: Chart): Promise<Finding> {
  const clients = [...chart.registered.values()];
  if (clients.length === 0) return skip("nothing was registered");
  const left: string[] = [];
  for (const { id, managementUrl, managementToken } of clients) {
    const url = URL.parse(managementUrl);
    const answer = url?.origin === chart.origin ? await deleteAt(chart, url, managementToken) : "no URL";
    if (answer !== "204") left.push(`${id}: ${answer}`);
  }
  if (left.length === 0) return pass(`${clients.length} clients deleted`);
  return fail(`still registered: ${left.join(", ")}`, {
    cause: "the instance can't reach its Redis, or something in front does not let DELETE through",
    fix: "let DELETE /register/* through; clients never used end by themselves within a day",
  });
}

async function deleteAt(chart: Chart, url: URL, token: string): Promise<string> {
  try {
    const headers = { authorization: `Bearer ${token}` };
    return String((await chart.wire.call(url, { method: "DELETE", headers })).status);
  } catch (error) {
    return codeOf(error);
  }
}
