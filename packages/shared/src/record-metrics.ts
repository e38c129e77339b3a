import type { MetricCatalog } from "./metric-definition.ts";
import type { MetricRegistry, Sample } from "./metrics.ts";
import type { RecordWriter } from "./record-log.ts";

/** The traffic record on its way, by the place it goes to. */
export const RECORD_METRICS = {
  queued: {
    name: "gatehouse.records.queued",
    kind: "updown",
    unit: "{record}",
    describe: "Records that wait to be written.",
    labels: ["sink"],
  },
  written: {
    name: "gatehouse.records.written",
    kind: "counter",
    unit: "{record}",
    describe: "Records that are safe in their sink.",
    labels: ["sink"],
  },
  lost: {
    name: "gatehouse.records.lost",
    kind: "counter",
    unit: "{record}",
    describe: "Records that a sink did not keep up with.",
    labels: ["sink"],
  },
} as const satisfies MetricCatalog;

export function registerRecordMetrics(registry: MetricRegistry, log: Pick<RecordWriter, "lanes">): void {
  for (const figure of ["queued", "written", "lost"] as const) {
    registry.observe(RECORD_METRICS[figure], () =>
      log.lanes.map((lane): Sample => ({ value: lane[figure], labels: [lane.sink] })),
    );
  }
}
