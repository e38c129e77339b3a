import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { get, type IncomingMessage } from "node:http";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { startMcpUpstream, type McpUpstream } from "@gatehouse/testbed/mcp-upstream";

const PING = /^: ping - \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00:00\r\n\r\n/;

let upstream: McpUpstream;
beforeAll(async () => {
  upstream = await startMcpUpstream({ name: "simple", pingIntervalMs: 50 });
});
afterAll(async () => {
  await upstream.close();
});

async function firstBytes(response: Response, count: number): Promise<string> {
  let text = "";
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString();
    if (text.length >= count) break;
  }
  return text;
}

describe.each([
  ["session-based", "legacy"],
  ["stateless, 2026-07-28", { pin: "2026-07-28" }],
] as const)("an MCP client of the %s revision", (_, mode) => {
  let client: Client;
  let transport: StreamableHTTPClientTransport;
  beforeAll(async () => {
    client = new Client({ name: "test", version: "1" }, { versionNegotiation: { mode } });
    transport = new StreamableHTTPClientTransport(new URL(`${upstream.url}/mcp`));
    await client.connect(transport);
  });
  afterAll(async () => {
    await client.close();
  });

  test("has a session exactly when the revision has sessions", () => {
    expect(typeof transport.sessionId).toBe(mode === "legacy" ? "string" : "undefined");
  });

  test("lists the tools", async () => {
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toEqual(["echo", "whoami", "get_weather", "count"]);
  });

  test("calls a tool with structured output", async () => {
    const result = await client.callTool({ name: "get_weather", arguments: { city: "Vienna" } });
    expect(result.structuredContent).toEqual({ city: "Vienna", temperature: 21, sky: "clear" });
  });

  test("receives progress while the tool runs", async () => {
    const seen: number[] = [];
    const call = { name: "count", arguments: { to: 5, pause_ms: 1 } };
    await client.callTool(call, { onprogress: ({ progress }) => seen.push(progress) });
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  test("is told by whoami what headers the server saw", async () => {
    const { content } = await client.callTool({ name: "whoami" });
    const { headers } = JSON.parse((content as { text: string }[])[0]!.text) as { headers: object };
    expect(headers).toEqual({ host: new URL(upstream.url).host });
  });
});

test("the GET stream of a session carries pings in the form the log shows, 45 bytes each", async () => {
  const transport = new StreamableHTTPClientTransport(new URL(`${upstream.url}/mcp`));
  const client = new Client({ name: "test", version: "1" });
  await client.connect(transport);
  const sessionId = transport.sessionId ?? "";
  await transport.close(); // its own GET stream ends; the session itself stays
  const headers = { accept: "text/event-stream", "mcp-session-id": sessionId };
  const deadline = performance.now() + 10_000;
  let stream: Response;
  do stream = await fetch(`${upstream.url}/mcp`, { headers });
  while (stream.status === 409 && performance.now() < deadline);
  expect(stream.status).toBe(200);
  const text = await firstBytes(stream, 45);
  expect(text).toMatch(PING);
  expect(PING.exec(text)?.[0]).toHaveLength(45);
});

test("/sse-ping is a stream of pings, the first at once", async () => {
  const text = await firstBytes(await fetch(`${upstream.url}/sse-ping`), 90);
  expect(text).toMatch(PING);
});

test("a foreign Host, an unknown session and another path are refused", async () => {
  const foreign = get(`${upstream.url}/mcp`, { headers: { host: "evil.example" } });
  const [answer] = (await once(foreign, "response")) as [IncomingMessage];
  expect(answer.resume().statusCode).toBe(403);
  const unknown = await fetch(`${upstream.url}/mcp`, { headers: { "mcp-session-id": "nobody's" } });
  expect(unknown.status).toBe(404);
  expect((await fetch(`${upstream.url}/elsewhere`)).status).toBe(404);
});
