/** What passes by as a record is counted by it; what a peer makes up does not become a series. */
import { beforeEach, describe, expect, test } from "@jest/globals";
import type { LogRecord } from "@gatehouse/shared/log-record";
import { MetricRegistry, type MetricPoint } from "@gatehouse/shared/metrics";
import { InstanceMetrics } from "../src/metrics.ts";

let registry: MetricRegistry;
let metrics: InstanceMetrics;
const written: LogRecord[] = [];

beforeEach(() => {
  registry = new MetricRegistry();
  written.length = 0;
  metrics = new InstanceMetrics(registry, {
    requests: () => 1,
    connections: () => 2,
    streams: () => ({ sse: 3, webSocket: 4 }),
    certificate: () => ({ source: "file", expires_at: "2030-01-01T00:00:00.000Z", problems: {} }),
    isStoreFresh: () => false,
  });
});

/** Label values and value, of a histogram its count and sum; series at zero are left out. */
function figures(name: string): unknown[][] {
  const metric = registry.collect().find(({ definition }) => definition.name === name);
  const plain = ({ labels, value }: MetricPoint): unknown[] => [
    ...Object.values(labels),
    ...(typeof value === "number" ? [value] : [value.count, value.sum]),
  ];
  return (metric?.points ?? []).map(plain).filter((row) => !row.slice(-2).includes(0));
}

function record(fields: Partial<LogRecord>): void {
  const log = metrics.counting({ write: (one) => void written.push(one), isEnabled: () => false });
  log.write({ time: 0, level: "debug", component: "proxy_handler", event: "request_ended", ...fields });
}

describe("a record of a request", () => {
  test("is counted by method and status, whatever the level that is kept, and passed on", () => {
    record({ method: "GET", status: 200, duration_ms: 250, upstream_ms: 100 });
    record({ method: "GET", status: 200, duration_ms: 250 });
    expect(figures("http.server.request.duration")).toEqual([["GET", 200, 2, 0.5]]);
    expect(figures("http.client.request.duration")).toEqual([["GET", 200, 1, 0.1]]);
    expect(written).toHaveLength(2);
  });

  test("with a method that nobody knows, or none, is one series with all others", () => {
    for (const method of ["BREW", "get", "X".repeat(1000)])
      record({ method, status: 405, duration_ms: 1000 });
    record({ status: 405, duration_ms: 1000 });
    expect(figures("http.server.request.duration")).toEqual([["_OTHER", 405, 4, 4]]);
  });
});

test("records of OAuth are steps, those of refused connections refusals, and others nothing", () => {
  record({ component: "oauth", event: "token_issued" });
  record({ component: "oauth", event: "token_issued" });
  record({ component: "instance", event: "connection_refused", reason: "untrusted_sender" });
  record({ component: "instance", event: "config_changed" });
  expect(figures("gatehouse.oauth.steps")).toEqual([["token_issued", 2]]);
  expect(figures("gatehouse.instance.connections.refused")).toEqual([["untrusted_sender", 1]]);
});

test.each([
  [undefined, "ok"],
  ["handshake_timeout", "handshake_timeout"],
  ["tlsv1_alert_unknown_ca", "certificate_refused"],
  ["sslv3_alert_certificate_unknown", "certificate_refused"],
  ["wrong_version_number", "other"],
])("a handshake that ended with %s counts as %s", (reason, result) => {
  metrics.countHandshake(500, reason);
  expect(figures("gatehouse.instance.tls.handshake.duration")).toEqual([[result, 1, 0.5]]);
});

test("what is known at the moment of asking is asked then", () => {
  expect(figures("http.server.active_requests")).toEqual([[1]]);
  expect(figures("gatehouse.streams.active")).toEqual([
    ["sse", 3],
    ["websocket", 4],
  ]);
  expect(figures("gatehouse.certificate.not_after")).toEqual([["file", Date.UTC(2030) / 1000]]);
  expect(figures("gatehouse.redis.connected")).toEqual([]);
});
