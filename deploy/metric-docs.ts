import { DISPATCHER_METRICS } from "@gatehouse/dispatcher/metric-catalog";
import { INSTANCE_METRICS } from "@gatehouse/instance/metric-catalog";
import type { MetricCatalog, MetricDefinition } from "@gatehouse/shared/metric-definition";
import { prometheusName } from "@gatehouse/shared/prometheus-text";
import { COMMON_METRICS } from "@gatehouse/shared/telemetry";

/** What each tier exports, with what both do. */
export const EXPORTED: Readonly<Record<"dispatcher" | "instance", readonly MetricDefinition[]>> = {
  dispatcher: [...Object.values<MetricDefinition>(DISPATCHER_METRICS), ...Object.values(COMMON_METRICS)],
  instance: [...Object.values<MetricDefinition>(INSTANCE_METRICS), ...Object.values(COMMON_METRICS)],
};

/** Returns the tables of `docs/metrics.md`. */
export function metricTables(): string {
  return [
    table("Dispatcher", DISPATCHER_METRICS),
    table("Instance", INSTANCE_METRICS),
    table("Both", COMMON_METRICS),
  ].join("\n\n");
}

function table(title: string, catalog: MetricCatalog): string {
  const rows = Object.values(catalog).map((definition) => {
    const { name, kind, unit, labels = [], describe } = definition;
    const words = labels.map((label) => `\`${label}\``).join(", ");
    const cells = [`\`${name}\``, `\`${prometheusName(definition)}\``, kind, `\`${unit}\``, words, describe];
    return `| ${cells.map((cell) => cell.replaceAll("|", String.raw`\|`)).join(" | ")} |`;
  });
  const head = [
    "| OpenTelemetry | Prometheus | kind | unit | labels | what it is |",
    "|---|---|---|---|---|---|",
  ];
  return [`## ${title}`, "", ...head, ...rows].join("\n");
}
