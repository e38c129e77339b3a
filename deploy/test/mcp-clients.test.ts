/** Real MCP clients on two hosts at once: the session-based way, the stateless way, and an event stream. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as ClientV1 } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as TransportV1 } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { startMcpUpstream, type McpUpstream } from "@gatehouse/testbed/mcp-upstream";
import { Agent, fetch as undiciFetch } from "undici";
import { startGatehouse, type Gatehouse } from "./support/gatehouse.ts";
import { openStream } from "./support/https-peer.ts";
import { until } from "@gatehouse/testbed/until";

const HOSTS = ["simple.localhost", "fast-echo.localhost"] as const;

let upstreams: McpUpstream[];
let gatehouse: Gatehouse;

beforeAll(async () => {
  upstreams = await Promise.all(HOSTS.map((name) => startMcpUpstream({ name, pingIntervalMs: 100 })));
  gatehouse = await startGatehouse({
    addresses: ["127.0.0.1", "::1"],
    hosts: HOSTS.map((hostname, i) => ({ hostname, upstreamUrl: upstreams[i]!.url })),
  });
}, 60_000);

afterAll(async () => {
  await gatehouse?.stop();
  await Promise.all((upstreams ?? []).map((upstream) => upstream.close()));
});

/** fetch as the SDK wants it, which reaches the dispatcher whatever the resolver thinks of the name. */
function fetchVia(address: "127.0.0.1" | "::1"): typeof fetch {
  const dispatcher = new Agent({
    connect: {
      ca: gatehouse.caPem,
      lookup: (_name, _options, answer) => answer(null, [{ address, family: address === "::1" ? 6 : 4 }]),
    },
  });
  return ((url: URL | string, init?: RequestInit) =>
    undiciFetch(url, { ...(init as object), dispatcher })) as unknown as typeof fetch;
}

function endpoint(hostname: string): URL {
  return new URL(`https://${hostname}:${gatehouse.port}/mcp`);
}

function headersSeen(result: { content?: unknown }): Record<string, string> {
  const [{ text }] = result.content as [{ text: string }];
  return (JSON.parse(text) as { headers: Record<string, string> }).headers;
}

describe.each([
  ["session-based", { versionNegotiation: { mode: "legacy" } }],
  ["stateless", { versionNegotiation: { mode: { pin: "2026-07-28" } } }],
] as const)("an MCP client, %s", (_way, options) => {
  test("lists and calls tools on both hosts at once, over IPv4 and IPv6", async () => {
    const calls = HOSTS.flatMap((hostname) =>
      (["127.0.0.1", "::1"] as const).map(async (address) => {
        const client = new Client({ name: "test", version: "1" }, options);
        await client.connect(
          new StreamableHTTPClientTransport(endpoint(hostname), { fetch: fetchVia(address) }),
        );
        const { tools } = await client.listTools();
        const echoed = await client.callTool({ name: "echo", arguments: { message: `to ${hostname}` } });
        const seen = headersSeen(await client.callTool({ name: "whoami", arguments: {} }));
        await client.close();
        expect(tools.map((tool) => tool.name)).toEqual(["echo", "whoami", "get_weather", "count"]);
        expect(echoed.content).toEqual([{ type: "text", text: `to ${hostname}` }]);
        expect(seen).toMatchObject({
          "x-forwarded-for": address,
          "x-forwarded-proto": "https",
          "x-forwarded-host": `${hostname}:${gatehouse.port}`,
        });
      }),
    );
    await Promise.all(calls);
  });

  test("reads the progress of a tool as it is made", async () => {
    const client = new Client({ name: "test", version: "1" }, options);
    await client.connect(
      new StreamableHTTPClientTransport(endpoint("simple.localhost"), { fetch: fetchVia("127.0.0.1") }),
    );
    const times: number[] = [];
    await client.callTool(
      { name: "count", arguments: { to: 4, pause_ms: 150 } },
      { onprogress: () => times.push(performance.now()) },
    );
    await client.close();
    expect(times).toHaveLength(4);
    // Buffered progress would arrive in one go.
    expect(times.at(-1)! - times[0]!).toBeGreaterThan(300);
  });
});

test("an MCP client of the first SDK generation works unchanged", async () => {
  const client = new ClientV1({ name: "test", version: "1" });
  await client.connect(new TransportV1(endpoint("fast-echo.localhost"), { fetch: fetchVia("127.0.0.1") }));
  expect((await client.listTools()).tools).toHaveLength(4);
  await client.close();
});

test("an event stream arrives event by event, and the record tells its progress and its end", async () => {
  const instance = gatehouse.instance("simple.localhost");
  const since = instance.records.count;
  const stream = await openStream(gatehouse, { hostname: "simple.localhost", path: "/sse-ping" });
  let text = "";
  stream.setEncoding("utf8").on("data", (part: string) => (text += part));
  await until(
    () => text.match(/: ping - /g)?.length ?? 0,
    (pings) => pings >= 3,
  );
  stream.destroy();
  await instance.awaitRecord(/SSE chunk 1: \d+ bytes/, { since });
  await instance.awaitRecord(/SSE chunk 2: \d+ bytes/, { since });
  await instance.awaitRecord(/✓ 200 GET \/sse-ping/, { since });
});

test("one connection id joins the records of both tiers", async () => {
  const instance = gatehouse.instance("simple.localhost");
  const marks = { instance: instance.records.count, dispatcher: gatehouse.dispatcher.records.count };
  const client = new Client(
    { name: "test", version: "1" },
    { versionNegotiation: { mode: { pin: "2026-07-28" } } },
  );
  await client.connect(
    new StreamableHTTPClientTransport(endpoint("simple.localhost"), { fetch: fetchVia("::1") }),
  );
  await client.callTool({ name: "echo", arguments: { message: "x" } });
  await client.close();
  const request = await instance.awaitRecord(/✓ 200 POST \/mcp tools\/call echo/, { since: marks.instance });
  const conn = /conn=(c-[0-9A-Z]{26})/.exec(request.text)?.[1] ?? "none";
  expect(request.text).toMatch(
    /Client: ::1 → Proxy: simple\.localhost → http:\/\/127\.0\.0\.1:\d+\n {2}Auth: \(empty\)\n/,
  );
  // The connection is kept alive by the peer's pool; ending the peers' sockets ends it.
  await gatehouse.instance("simple.localhost").restart();
  const connection = await gatehouse.dispatcher.awaitRecord(new RegExp(`conn=${conn}`), {
    since: marks.dispatcher,
  });
  expect(connection.text).toMatch(/connection ended: /);
});
