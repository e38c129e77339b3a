/** What goes to a collector, as a real receiver sees it, and what a collector that is away costs. */
import { createServer, type AddressInfo } from "node:net";
import { afterEach, describe, expect, jest, test } from "@jest/globals";
import type { MetricDefinition } from "../src/metric-definition.ts";
import { readConfig, type Environment } from "../src/read-config.ts";
import { Telemetry } from "../src/telemetry.ts";
import { otlpMetricsUrl, telemetryOptions } from "../src/telemetry-options.ts";
import { OtlpReceiver } from "./support/otlp-receiver.ts";
import { until } from "@gatehouse/testbed/until";

const REQUESTS: MetricDefinition = {
  name: "http.server.request.duration",
  kind: "histogram",
  unit: "s",
  describe: "Requests.",
  labels: ["http.request.method", "http.response.status_code"],
  bounds: [0.1, 1],
};
const endings: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
});

function telemetry(env: Environment, attributes: Record<string, string> = {}): Telemetry {
  const started = new Telemetry({
    config: readConfig(telemetryOptions, env),
    log: { lanes: [{ sink: "console", queued: 3, written: 40, lost: 2 }] },
    service: "gatehouse-instance",
    attributes,
  });
  endings.push(() => started.close());
  return started;
}

async function receiver(answer?: Parameters<typeof OtlpReceiver.start>[0]): Promise<OtlpReceiver> {
  const started = await OtlpReceiver.start(answer);
  endings.push(() => started.stop());
  return started;
}

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** The counter of exports, as a scraper reads it. */
function exportsOf(of: Telemetry): { ok: number; failed: number } {
  const read = (result: string): number =>
    Number(new RegExp(`gatehouse_otlp_exports_total{result="${result}"} (\\d+)`).exec(of.page().body)?.[1]);
  return { ok: read("ok"), failed: read("failed") };
}

describe("to a collector", () => {
  test("go resource, headers and every kind of metric, again and again, and once more at the end", async () => {
    const collector = await receiver();
    const sender = telemetry(
      {
        OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/base/`,
        OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20x, x-tenant=7",
        OTEL_METRIC_EXPORT_INTERVAL: "200",
        OTEL_RESOURCE_ATTRIBUTES: "deployment.environment.name=test%20bed",
      },
      { "gatehouse.hostname": "a.example" },
    );
    const requests = sender.registry.histograms(REQUESTS);
    requests.of("GET", 404).record(0.1);
    requests.of("GET", 404).record(5);
    await sender.start();
    await until(() => collector.exports.length >= 2);

    const [first] = collector.exports;
    expect(first?.path).toBe("/base/v1/metrics");
    expect(first?.headers).toMatchObject({
      "content-type": "application/x-protobuf",
      authorization: "Bearer x",
      "x-tenant": "7",
    });
    expect(first?.resource).toMatchObject({
      "service.name": "gatehouse-instance",
      "service.version": expect.stringMatching(/^\d+\.\d+\.\d+$/),
      "service.instance.id": expect.stringMatching(/^[0-9a-f-]{36}$/),
      "gatehouse.hostname": "a.example",
      "deployment.environment.name": "test bed",
    });
    expect(first?.points.get(REQUESTS.name)).toEqual([
      {
        kind: "histogram",
        unit: "s",
        isMonotonic: false,
        isCumulative: true,
        attributes: { "http.request.method": "GET", "http.response.status_code": 404 },
        value: 5.1,
        counts: [1, 0, 1],
        bounds: [0.1, 1],
      },
    ]);
    expect(first?.points.get("gatehouse.records.lost")).toMatchObject([
      { kind: "sum", isMonotonic: true, isCumulative: true, attributes: { sink: "console" }, value: 2 },
    ]);
    expect(first?.points.get("gatehouse.records.queued")).toMatchObject([
      { kind: "sum", isMonotonic: false, value: 3 },
    ]);
    expect(first?.points.get("process.uptime")).toMatchObject([{ kind: "gauge", unit: "s" }]);
    // What a scraper is told is what the collector is told.
    const told = new Set(first?.points.keys());
    expect(new Set(sender.registry.collect().map(({ definition }) => definition.name))).toEqual(told);

    const before = collector.exports.length;
    requests.of("POST", 200).record(1);
    await sender.close();
    expect(collector.exports.length).toBeGreaterThan(before);
    expect(collector.exports.at(-1)?.points.get(REQUESTS.name)).toHaveLength(2);
    expect(exportsOf(sender).failed).toBe(0);
  });

  test("goes nothing unless it is asked for", () => {
    const url = (env: Environment): string | undefined => otlpMetricsUrl(readConfig(telemetryOptions, env));
    expect(url({})).toBeUndefined();
    const OTEL_EXPORTER_OTLP_ENDPOINT = "http://collector:4318";
    expect(url({ OTEL_EXPORTER_OTLP_ENDPOINT })).toBe("http://collector:4318/v1/metrics");
    expect(url({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SDK_DISABLED: "TRUE" })).toBeUndefined();
    const OTEL_EXPORTER_OTLP_METRICS_ENDPOINT = "https://elsewhere/in";
    expect(url({ OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_METRICS_ENDPOINT })).toBe(
      "https://elsewhere/in",
    );
  });

  test("goes a name of the operator's, in place of ours", () => {
    const page = telemetry({ OTEL_SERVICE_NAME: "front-door" }).page();
    expect(page.body).toMatch(/^target_info\{service_name="front-door",/m);
  });
});

describe("a collector that is away", () => {
  test("costs counted failures, nothing on the console and no wait", async () => {
    const spies = (["error", "warn", "info", "log", "debug"] as const).map((name) =>
      jest.spyOn(console, name).mockReturnValue(undefined),
    );
    const sender = telemetry({
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${await closedPort()}`,
      OTEL_METRIC_EXPORT_INTERVAL: "100",
    });
    const startedAt = performance.now();
    await sender.start();
    await until(() => exportsOf(sender).failed >= 3);
    await sender.close();
    expect(performance.now() - startedAt).toBeLessThan(5000);
    expect(exportsOf(sender).ok).toBe(0);
    for (const spy of spies) {
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
    }
  });

  test("and one that never answers holds the end of a process up for two seconds at most", async () => {
    const collector = await receiver(() => undefined);
    const sender = telemetry({
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      // The export itself is given up only after that.
      OTEL_METRIC_EXPORT_INTERVAL: "3000",
    });
    await sender.start();
    const closedAt = performance.now();
    await sender.close();
    expect(performance.now() - closedAt).toBeLessThan(2900);
    expect(collector.exports).toHaveLength(1);
    await until(() => exportsOf(sender).failed === 1);
  });
});

test.each(["grpc", "collector:4318", "ftp://collector"])("%s is no address of a collector", (text) => {
  expect(() => readConfig(telemetryOptions, { OTEL_EXPORTER_OTLP_ENDPOINT: text })).toThrow(
    /an http or https URL/,
  );
});

test("headers that can't be read are refused without being shown", () => {
  const read = (): unknown => readConfig(telemetryOptions, { OTEL_EXPORTER_OTLP_HEADERS: "secret" });
  expect(read).toThrow(/OTEL_EXPORTER_OTLP_HEADERS: must be name=value pairs/);
  expect(read).not.toThrow(/"secret"/);
});
