import type { MetricDefinition } from "./metric-definition.ts";
import type { CollectedMetric, LabelValue, MetricPoint } from "./metrics.ts";

/** Of the text format that every scraper reads. */
export const PROMETHEUS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Suffixes that OpenTelemetry's rules for Prometheus ask for; units in braces are annotations and have none. */
const UNIT_SUFFIXES: Readonly<Record<string, string>> = { s: "_seconds", By: "_bytes" };

const PROMETHEUS_TYPES = {
  counter: "counter",
  updown: "gauge",
  gauge: "gauge",
  histogram: "histogram",
} as const satisfies Record<MetricDefinition["kind"], string>;

/**
 * Returns the name a metric has in Prometheus: `http.server.request.duration` in `s` is `http_server_request_duration_seconds`, and
 * counters end in `_total` (OpenTelemetry specification, Prometheus and OpenMetrics compatibility).
 */
export function prometheusName({ name, unit, kind }: MetricDefinition): string {
  const suffix = unit === "1" && kind === "gauge" ? "_ratio" : (UNIT_SUFFIXES[unit] ?? "");
  const plain = prometheusWord(name);
  const withUnit = plain.endsWith(suffix) ? plain : plain + suffix;
  return kind === "counter" ? `${withUnit}_total` : withUnit;
}

/** Returns what was collected in Prometheus' text format; `resource` says whose metrics these are, as the labels of `target_info`. */
export function prometheusText(
  metrics: readonly CollectedMetric[],
  resource: Readonly<Record<string, string>>,
): string {
  const lines = [
    "# HELP target_info Whose metrics these are.",
    "# TYPE target_info gauge",
    `target_info${labelText(resource)} 1`,
  ];
  for (const { definition, points } of metrics) {
    const name = prometheusName(definition);
    lines.push(
      `# HELP ${name} ${escaped(definition.describe)}`,
      `# TYPE ${name} ${PROMETHEUS_TYPES[definition.kind]}`,
    );
    for (const point of points) lines.push(...pointLines(name, definition, point));
  }
  return `${lines.join("\n")}\n`;
}

function pointLines(
  name: string,
  { bounds = [] }: MetricDefinition,
  { labels, value }: MetricPoint,
): string[] {
  if (typeof value === "number") return [`${name}${labelText(labels)} ${value}`];
  let atMost = 0;
  const buckets = value.counts.map((count, index) => {
    atMost += count;
    return `${name}_bucket${labelText({ ...labels, le: String(bounds[index] ?? "+Inf") })} ${atMost}`;
  });
  return [
    ...buckets,
    `${name}_sum${labelText(labels)} ${value.sum}`,
    `${name}_count${labelText(labels)} ${value.count}`,
  ];
}

function labelText(labels: Readonly<Record<string, LabelValue>>): string {
  const parts = Object.entries(labels).map(
    ([label, value]) =>
      `${prometheusWord(label)}="${escaped(String(value)).replaceAll('"', String.raw`\"`)}"`,
  );
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function prometheusWord(name: string): string {
  return name.replaceAll(/[^a-zA-Z0-9_]/g, "_").replace(/^(?=\d)/, "_");
}

function escaped(text: string): string {
  return text.replaceAll("\\", String.raw`\\`).replaceAll("\n", String.raw`\n`);
}
