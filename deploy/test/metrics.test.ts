/** What both processes export, as a scraper and a collector see it: page, catalog and dashboard say the same, and figures move. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { Agent } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { prometheusName } from "@gatehouse/shared/prometheus-text";
import { WebSocket, WebSocketServer } from "ws";
import { freePort } from "@gatehouse/testbed/free-ports";
import { EXPORTED } from "../metric-docs.ts";
import { Claude } from "./support/claude.ts";
import { exchange, openStreamingPeer } from "./support/https-peer.ts";
import { PrometheusPage } from "./support/prometheus-page.ts";
import { labelsOf, readExpression } from "./support/prometheus-expression.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";
import { until } from "@gatehouse/testbed/until";

const TIMEOUT_MS = 60_000;
const OPEN = "open.localhost";
const PROTECTED = "protected.localhost";
const root = join(import.meta.dirname, "../..");

let upstream: Server;
let collector: Server;
let bed: ProtectedGatehouse;
/** What the open host's collector was sent: its octets, in which names stand as they are. */
const pushed: string[] = [];

beforeAll(async () => {
  upstream = createServer((request, response) => {
    if (request.url !== "/stream") return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": "text/event-stream" }).write("data: 1\n\n");
  });
  const webSockets = new WebSocketServer({ noServer: true });
  upstream.on("upgrade", (request, socket, head) => {
    webSockets.handleUpgrade(request, socket, head, (opened) => opened.send("hello"));
  });
  collector = createServer((request, response) => {
    let octets = "";
    request.setEncoding("latin1").on("data", (part: string) => (octets += part));
    request.once("end", () => {
      pushed.push(octets);
      response.end();
    });
  });
  const [upstreamUrl, collectorUrl] = await Promise.all([listening(upstream), listening(collector)]);
  const nobody = `http://127.0.0.1:${await freePort()}`;
  bed = await ProtectedGatehouse.start([
    { hostname: PROTECTED, upstreamUrl, env: pushTo(nobody) },
    { hostname: OPEN, upstreamUrl, config: { auth_enabled: false }, env: pushTo(collectorUrl) },
  ]);
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
  for (const server of [upstream, collector]) {
    server?.closeAllConnections();
    server?.close();
  }
});

async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function pushTo(url: string): Record<string, string> {
  return { OTEL_EXPORTER_OTLP_ENDPOINT: url, OTEL_METRIC_EXPORT_INTERVAL: "250" };
}

const dispatcherPage = (): Promise<PrometheusPage> =>
  PrometheusPage.scrape(bed.gatehouse.dispatcher.adminUrl);
const instancePage = (hostname: string): Promise<PrometheusPage> =>
  PrometheusPage.scrape(bed.gatehouse.instance(hostname).adminUrl);

/** Waits until a figure is `by` more than it was; they move when the record is written, just after the peer has its answer. */
async function moved(read: () => Promise<number>, act: () => Promise<unknown>, by = 1): Promise<void> {
  const before = await read();
  await act();
  expect((await until(read, (now) => now >= before + by)) - before).toBe(by);
}

const ask = (hostname: string, path: string, headers: Record<string, string> = {}): Promise<number> =>
  exchange(bed.gatehouse, { hostname, path, headers }).then(({ status }) => status);

describe("the pages of both tiers", () => {
  test("have every metric of the catalogs and no other, with kind and sentence", async () => {
    const pages = { dispatcher: await dispatcherPage(), instance: await instancePage(PROTECTED) };
    for (const tier of ["dispatcher", "instance"] as const) {
      const { families } = pages[tier];
      const known = EXPORTED[tier].map((definition) => [
        prometheusName(definition),
        definition.kind === "updown" ? "gauge" : definition.kind,
        definition.describe,
      ]);
      const exported = [...families].map(([name, { type, help }]) => [name, type, help]);
      const targetInfo = ["target_info", "gauge", "Whose metrics these are."];
      expect(new Set(exported)).toEqual(new Set([...known, targetInfo]));
    }
  });

  test("are what docs/metrics.md lists", async () => {
    const page = readFileSync(join(root, "docs/metrics.md"), "utf8");
    const listed = [...page.matchAll(/^\| `[a-z0-9._]+` \| `([a-z0-9_]+)` \|/gm)].map(([, name]) => name);
    const pages = [await dispatcherPage(), await instancePage(OPEN)];
    const exported = pages
      .flatMap(({ families }) => [...families.keys()])
      .filter((name) => name !== "target_info");
    expect(new Set(listed)).toEqual(new Set(exported));
  });

  test("say whose they are", async () => {
    const [info] = (await instancePage(OPEN)).families.get("target_info")?.samples ?? [];
    expect(info?.labels).toMatchObject({ service_name: "gatehouse-instance", gatehouse_hostname: OPEN });
    const [front] = (await dispatcherPage()).families.get("target_info")?.samples ?? [];
    expect(front?.labels["service_name"]).toBe("gatehouse-dispatcher");
    expect(front?.labels["service_instance_id"]).not.toBe(info?.labels["service_instance_id"]);
  });
});

describe("the dashboard", () => {
  const dashboard = readFileSync(join(root, "deploy/grafana/gatehouse.json"), "utf8");
  const expressions = [...dashboard.matchAll(/"(?:expr|query|definition)": ("(?:[^"\\]|\\.)*")/g)]
    .map(([, text]) => JSON.parse(text ?? '""') as string)
    .filter((text) => text.includes("_"));

  test("asks only for metrics and labels that exist", async () => {
    const pages = [await dispatcherPage(), await instancePage(PROTECTED)];
    const names = new Set(pages.flatMap((page) => [...page.sampleNames]));
    const labels = new Set([
      "le",
      "instance",
      "job",
      ...labelsOf(EXPORTED),
      ...(await resourceLabels(pages)),
    ]);
    expect(expressions.length).toBeGreaterThan(40);
    for (const expression of expressions) {
      const used = readExpression(expression);
      expect([expression, used.names.filter((name) => !names.has(name))]).toEqual([expression, []]);
      expect([expression, used.labels.filter((label) => !labels.has(label))]).toEqual([expression, []]);
    }
  });

  test("shows every metric", async () => {
    const shown = new Set(expressions.flatMap((expression) => readExpression(expression).names));
    const all = [await dispatcherPage(), await instancePage(PROTECTED)].flatMap(({ families }) => [
      ...families.keys(),
    ]);
    const isShown = (name: string): boolean =>
      [name, `${name}_bucket`, `${name}_count`].some((form) => shown.has(form));
    expect(all.filter((name) => !isShown(name))).toEqual([]);
  });
});

async function resourceLabels(pages: readonly PrometheusPage[]): Promise<string[]> {
  return pages.flatMap(({ families }) =>
    (families.get("target_info")?.samples ?? []).flatMap(({ labels }) => Object.keys(labels)),
  );
}

describe("at the dispatcher", () => {
  const over = (labels: Record<string, string>) => async (): Promise<number> =>
    (await dispatcherPage()).value("gatehouse_dispatcher_connections_total", labels);

  test("a name without route is one connection refused, and one look-up without an answer", async () => {
    const lookups = async (): Promise<number> =>
      (await dispatcherPage()).value("gatehouse_dispatcher_route_lookups_total", { answer: "none" });
    await moved(over({ outcome: "refused", reason: "no_route" }), () =>
      moved(lookups, () =>
        expect(ask("nobody.localhost", "/")).rejects.toThrow(/alert number 112|unrecognized name/i),
      ),
    );
  });

  test("a request is one hello, one dial, and its octets both ways", async () => {
    const page = await dispatcherPage();
    const before = {
      hellos: page.value("gatehouse_dispatcher_hello_size_bytes_count"),
      dials: page.value("gatehouse_dispatcher_dial_duration_seconds_count", { result: "connected" }),
      io: page.value("gatehouse_dispatcher_io_bytes_total"),
    };
    // Which side closes first is nobody's promise.
    await moved(over({ outcome: "ended" }), () => ask(OPEN, "/there"));
    const after = await dispatcherPage();
    expect(after.value("gatehouse_dispatcher_hello_size_bytes_count")).toBe(before.hellos + 1);
    expect(after.value("gatehouse_dispatcher_hello_duration_seconds_count")).toBe(before.hellos + 1);
    const dials = after.value("gatehouse_dispatcher_dial_duration_seconds_count", { result: "connected" });
    expect(dials).toBe(before.dials + 1);
    expect(after.value("gatehouse_dispatcher_io_bytes_total")).toBeGreaterThan(before.io + 1000);
    expect(after.value("gatehouse_redis_connected")).toBe(1);
  });
});

describe("at an instance", () => {
  const requests = (hostname: string, status: string) => async (): Promise<number> =>
    (await instancePage(hostname)).value("http_server_request_duration_seconds_count", {
      http_request_method: "GET",
      http_response_status_code: status,
    });
  const checks = (result: string) => async (): Promise<number> =>
    (await instancePage(PROTECTED)).value("gatehouse_instance_token_checks_total", { result });

  test("a 404 of the upstream is a request here, and one there", async () => {
    const there = async (): Promise<number> =>
      (await instancePage(OPEN)).value("http_client_request_duration_seconds_count", {
        http_response_status_code: "404",
      });
    await moved(requests(OPEN, "404"), () => moved(there, () => ask(OPEN, "/nothing")));
  });

  test("a request without a token is a 401 and a check that missed one; a bad one says what is wrong", async () => {
    await moved(requests(PROTECTED, "401"), () => moved(checks("missing"), () => ask(PROTECTED, "/mcp")));
    await moved(checks("malformed"), () => ask(PROTECTED, "/mcp", { authorization: "Bearer nonsense" }));
  });

  test(
    "a login is steps of OAuth, and its token is accepted",
    async () => {
      const steps = (event: string) => async (): Promise<number> =>
        (await instancePage(PROTECTED)).value("gatehouse_oauth_steps_total", { event });
      const claude = new Claude(bed.fetch, bed.origin(PROTECTED));
      await moved(steps("client_registered"), () => claude.register());
      let token = "";
      await moved(steps("token_issued"), async () => {
        token = (await claude.authorize((url) => bed.logIn(url, "hubot"))).access_token;
      });
      await moved(checks("accepted"), () => ask(PROTECTED, "/mcp", { authorization: `Bearer ${token}` }));
    },
    TIMEOUT_MS,
  );

  test("an event stream and a WebSocket count as long as they are open, and then as requests", async () => {
    const open = async (): Promise<readonly number[]> => {
      const page = await instancePage(OPEN);
      return [
        page.value("gatehouse_streams_active", { type: "sse" }),
        page.value("gatehouse_streams_active", { type: "websocket" }),
        page.value("http_server_active_requests"),
      ];
    };
    const is = (figures: readonly number[]) => (now: readonly number[]) => now.join() === figures.join();
    const before = await until(open, is([0, 0, 0]));
    const peer = await openStreamingPeer(bed.gatehouse, { hostname: OPEN, path: "/stream" });
    const socket = webSocket();
    await once(socket, "open");
    await until(open, is([1, 1, 1]));
    await moved(requests(OPEN, "101"), async () => socket.terminate());
    await moved(requests(OPEN, "200"), async () => peer.close());
    await until(open, is(before));
  });

  test("connections, handshakes, records and the certificate are told", async () => {
    const page = await instancePage(OPEN);
    expect(
      page.value("gatehouse_instance_tls_handshake_duration_seconds_count", { result: "ok" }),
    ).toBeGreaterThan(0);
    expect(page.value("gatehouse_records_written_total", { sink: "console" })).toBeGreaterThan(3);
    expect(page.value("gatehouse_records_lost_total")).toBe(0);
    const daysLeft =
      (page.value("gatehouse_certificate_not_after_seconds", { source: "file" }) - Date.now() / 1000) /
      86_400;
    expect(daysLeft).toBeGreaterThan(0.5);
    expect(daysLeft).toBeLessThan(1000);
  });
});

function webSocket(): WebSocket {
  const agent = new Agent({
    ca: bed.gatehouse.caPem,
    servername: OPEN,
    lookup: (_name, _options, found) => found(null, [{ address: "127.0.0.1", family: 4 }]),
  });
  return new WebSocket(`wss://${OPEN}:${bed.gatehouse.port}/socket`, { agent });
}

describe("a collector", () => {
  test(
    "is sent what the host's page has, the last of it when the process ends",
    async () => {
      await until(
        () => pushed.length,
        (exports) => exports > 0,
      );
      const instance = bed.gatehouse.instance(OPEN);
      const names = EXPORTED.instance.map(({ name }) => name);
      const silent = ["gatehouse.instance.connections.refused", "gatehouse.oauth.steps"];
      const exported = pushed.at(-1) ?? "";
      expect(exported).toContain(OPEN);
      expect(
        names.filter((name) => !exported.includes(name)).filter((name) => !silent.includes(name)),
      ).toEqual([]);
      const before = pushed.length;
      expect(await instance.stop()).toBe(0);
      expect(pushed.length).toBeGreaterThan(before);
      await instance.start();
    },
    TIMEOUT_MS,
  );

  test(
    "that is away is counted, and nothing else comes of it",
    async () => {
      const failed = async (): Promise<number> =>
        (await instancePage(PROTECTED)).value("gatehouse_otlp_exports_total", { result: "failed" });
      await until(failed, (count) => count > 3);
      const instance = bed.gatehouse.instance(PROTECTED);
      const stoppedAt = performance.now();
      expect(await instance.stop()).toBe(0);
      expect(performance.now() - stoppedAt).toBeLessThan(5000);
      expect(instance.complaints).toBe("");
      await instance.start();
    },
    TIMEOUT_MS,
  );
});
