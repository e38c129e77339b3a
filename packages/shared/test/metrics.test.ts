import { describe, expect, test } from "@jest/globals";
import type { MetricDefinition } from "../src/metric-definition.ts";
import { MetricRegistry } from "../src/metrics.ts";
import { PROCESS_METRICS, registerProcessMetrics } from "../src/process-metrics.ts";
import { prometheusName, prometheusText } from "../src/prometheus-text.ts";

const base = { kind: "counter", unit: "{thing}", describe: "Things." } as const;

function text(registry: MetricRegistry): string[] {
  return prometheusText(registry.collect(), { "service.name": "test" }).split("\n");
}

describe("the registry", () => {
  test("adds up, by the values of two labels", () => {
    const registry = new MetricRegistry();
    const things = registry.counters({
      ...base,
      name: "things",
      labels: ["color", "http.response.status_code"],
    });
    things.of("red", 200).add();
    things.of("red", 200).add(2);
    things.of("blue", 200).add();
    const [metric] = registry.collect();
    expect(metric?.points).toEqual([
      { labels: { color: "red", "http.response.status_code": 200 }, value: 3 },
      { labels: { color: "blue", "http.response.status_code": 200 }, value: 1 },
    ]);
  });

  test("puts a value that equals a bound below it, as both formats do", () => {
    const registry = new MetricRegistry();
    const sizes = registry.histogram({ ...base, kind: "histogram", name: "sizes", bounds: [1, 2] });
    for (const size of [0.5, 1, 1.5, 2, 3]) sizes.record(size);
    expect(registry.collect()[0]?.points[0]?.value).toEqual({ counts: [2, 2, 1], sum: 8, count: 5 });
  });

  test("shows what is expected at zero, and what is unknown not at all", () => {
    const registry = new MetricRegistry();
    registry.counters({ ...base, name: "seen", labels: ["word"] }).expect(["a", "b"]);
    registry.observe({ ...base, name: "unknown" }, () => undefined);
    registry.observe({ ...base, name: "hidden" }, () => {
      throw new Error("EACCES");
    });
    const [seen, unknown, hidden] = registry.collect();
    expect(seen?.points.map(({ labels, value }) => [labels["word"], value])).toEqual([
      ["a", 0],
      ["b", 0],
    ]);
    expect([unknown?.points, hidden?.points]).toEqual([[], []]);
  });

  test("refuses a second metric of one name", () => {
    const registry = new MetricRegistry();
    registry.counter({ ...base, name: "once" });
    expect(() => registry.counter({ ...base, name: "once" })).toThrow(/once is there already/);
  });
});

describe("Prometheus' text", () => {
  test.each<[Partial<MetricDefinition> & { name: string }, string]>([
    [
      { name: "http.server.request.duration", kind: "histogram", unit: "s" },
      "http_server_request_duration_seconds",
    ],
    [{ name: "process.cpu.time", unit: "s" }, "process_cpu_time_seconds_total"],
    [{ name: "gatehouse.io", unit: "By" }, "gatehouse_io_bytes_total"],
    [{ name: "a.utilization", kind: "gauge", unit: "1" }, "a_utilization_ratio"],
    [{ name: "a.lag_seconds", kind: "gauge", unit: "s" }, "a_lag_seconds"],
    [{ name: "a.streams", kind: "updown", unit: "{stream}" }, "a_streams"],
  ])("names %j by the rules of OpenTelemetry", (definition, name) => {
    expect(prometheusName({ ...base, ...definition })).toBe(name);
  });

  test("has help, type and samples; buckets add up; quotes and line ends are escaped", () => {
    const registry = new MetricRegistry();
    const odd = registry.counters({
      ...base,
      name: "odd",
      describe: "One\nline \\ of help.",
      labels: ["a.b"],
    });
    odd.of('"\n\\').add();
    const sizes = registry.histograms({
      ...base,
      kind: "histogram",
      unit: "By",
      name: "sizes",
      labels: ["word"],
      bounds: [1, 2],
    });
    for (const size of [1, 2, 3]) sizes.of("x").record(size);
    expect(text(registry)).toEqual([
      "# HELP target_info Whose metrics these are.",
      "# TYPE target_info gauge",
      'target_info{service_name="test"} 1',
      String.raw`# HELP odd_total One\nline \\ of help.`,
      "# TYPE odd_total counter",
      String.raw`odd_total{a_b="\"\n\\"} 1`,
      "# HELP sizes_bytes Things.",
      "# TYPE sizes_bytes histogram",
      'sizes_bytes_bucket{word="x",le="1"} 1',
      'sizes_bytes_bucket{word="x",le="2"} 2',
      'sizes_bytes_bucket{word="x",le="+Inf"} 3',
      'sizes_bytes_sum{word="x"} 6',
      'sizes_bytes_count{word="x"} 3',
      "",
    ]);
  });
});

test("a process tells of itself, and its loop is late by no more than it is", () => {
  const registry = new MetricRegistry();
  registerProcessMetrics(registry);
  const values = new Map(registry.collect().map(({ definition, points }) => [definition.name, points]));
  expect(new Set(values.keys())).toEqual(new Set(Object.values(PROCESS_METRICS).map(({ name }) => name)));
  const single = (name: string): number => Number(values.get(name)?.[0]?.value);
  expect(single("process.memory.usage")).toBeGreaterThan(10_000_000);
  expect(single("process.unix.file_descriptor.count")).toBeGreaterThan(3);
  expect(single("process.uptime")).toBeGreaterThan(0);
  expect(single("nodejs.eventloop.delay.max")).toBeGreaterThanOrEqual(0);
  expect(single("nodejs.eventloop.utilization")).toBeLessThanOrEqual(1);
  expect(values.get("process.cpu.time")?.map(({ labels }) => labels["cpu.mode"])).toEqual(["user", "system"]);
});
