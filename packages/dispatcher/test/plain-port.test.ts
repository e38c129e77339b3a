import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { parseRoute } from "@gatehouse/shared/route";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Redis } from "ioredis";
import { once } from "node:events";
import { connect } from "node:net";
import { PlainPort } from "../src/plain-port.ts";
import type { RouteAnswer } from "../src/route-table.ts";
import { RecordList } from "./support/dispatcher.ts";
import { until } from "@gatehouse/testbed/until";

const TOKEN = "t".repeat(43);
const KEY_AUTHORIZATION = `${TOKEN}.${"k".repeat(43)}`;
const CHALLENGE = `/.well-known/acme-challenge/${TOKEN}`;

let redis: PrivateRedis;
let operator: Redis;
let plain: PlainPort;
let port: number;
let records: RecordList;
/** Names that routes are filed under, or that nothing is known. */
let named: Record<string, string> | "unknown" = {};

function find(hostname: string | undefined): Promise<RouteAnswer> {
  if (named === "unknown") return Promise.resolve({ kind: "unknown" });
  const name = named[hostname ?? ""];
  const parsed = parseRoute("13001");
  if (!parsed.ok) throw new Error(parsed.problem);
  return Promise.resolve(
    name === undefined ? { kind: "none" } : { kind: "route", route: parsed.route, name },
  );
}

async function open(requestTimeoutMs: number): Promise<[PlainPort, port: number]> {
  const opened = new PlainPort({
    routes: { find },
    redisUrl: redis.url,
    publicPort: 8443,
    log: records,
    requestTimeoutMs,
  });
  const [bound] = await opened.open([{ kind: "tcp", host: "127.0.0.1", port: 0 }]);
  return [opened, bound?.port ?? 0];
}

beforeAll(async () => {
  redis = await startPrivateRedis();
  operator = new Redis({ path: redis.socketPath });
  operator.on("error", () => undefined);
  records = new RecordList();
  [plain, port] = await open(300);
});
afterAll(async () => {
  await plain.close();
  operator.disconnect();
  await redis.stop();
});
afterEach(async () => {
  named = {};
  records.all.length = 0;
  await operator.del("acme:challenge:a.example");
});

/** Sends raw octets and returns everything until the server closes. */
async function send(text: string): Promise<string> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(text);
  let answer = "";
  socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  await once(socket, "close");
  return answer;
}

const get = (target: string, host = "a.example", method = "GET"): Promise<string> =>
  send(`${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
const status = (answer: string): number => Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);

async function pending(type = "http-01"): Promise<void> {
  const value = JSON.stringify({ type, token: TOKEN, key_authorization: KEY_AUTHORIZATION });
  await operator.set("acme:challenge:a.example", value);
}

describe("HTTP-01 (RFC 8555 section 8.3)", () => {
  test("a pending challenge is answered for its name and token, whether the name is routed or not", async () => {
    await pending();
    await until(async () => status(await get(CHALLENGE)) === 200); // the connection to Redis is just being opened
    const answer = await get(CHALLENGE, "A.Example.:80");
    expect(answer).toMatch(/content-type: application\/octet-stream/i);
    expect(answer.split("\r\n\r\n")[1]).toBe(KEY_AUTHORIZATION);
    expect(status(await get(CHALLENGE, "a.example", "HEAD"))).toBe(200);
    expect(records.all.at(-1)).toMatchObject({
      event: "challenge_answered",
      hostname: "a.example",
      ip: "127.0.0.1",
    });
  });

  test.each([
    ["another token", () => get(CHALLENGE.replace("t".repeat(43), "u".repeat(43)))],
    ["another name", () => get(CHALLENGE, "b.example")],
    ["a path below", () => get(`${CHALLENGE}/`)],
    ["a query", () => get(`${CHALLENGE}?x`)],
    ["a POST", () => get(CHALLENGE, "a.example", "POST")],
  ])("%s gets nothing", async (_what, ask) => {
    await pending();
    const answer = await ask();
    expect(status(answer)).toBe(404);
    expect(answer).not.toContain(KEY_AUTHORIZATION);
  });

  test("a challenge of another kind gets nothing", async () => {
    await pending("tls-alpn-01");
    expect(status(await get(CHALLENGE))).toBe(404);
  });
});

describe("names", () => {
  test("a routed one is sent to https, with the public port, path and query", async () => {
    named = { "a.example": "a.example", "x.b.example": "*.b.example" };
    expect(await get("/mcp?x=1", "A.EXAMPLE.:8080")).toMatch(
      /^HTTP\/1\.1 308 .*\r\nlocation: https:\/\/a\.example:8443\/mcp\?x=1\r\n/i,
    );
    expect(await get("//evil.example", "x.b.example", "POST")).toMatch(
      /location: https:\/\/x\.b\.example:8443\/\/evil\.example\r\n/i,
    );
    expect(records.all[0]).toMatchObject({ event: "request_ended", status: 308, path: "/mcp" });
  });

  test.each([
    ["has no route", () => get("/", "evil.example")],
    ["has the default route only", () => get("/", "any.example")],
    ["is no name", () => get("/", "a.example/@evil.example")],
    ["is an address", () => get("/", "127.0.0.1")],
    ["is said twice", () => send("GET / HTTP/1.1\r\nHost: a.example\r\nHost: evil.example\r\n\r\n")],
    ["is in the target", () => get("http://a.example/", "a.example")],
  ])("one that %s is never put into a URL", async (_what, ask) => {
    named = { "a.example": "a.example", "any.example": "*" };
    const answer = await ask();
    expect([400, 404]).toContain(status(answer));
    expect(answer).not.toMatch(/location|evil|any\.example/i);
  });

  test("while routes are unknown nobody is told that there is none", async () => {
    named = "unknown";
    expect(status(await get("/"))).toBe(503);
  });
});

describe("bounds", () => {
  test("a header over 8 KiB is refused, and every answer ends its connection", async () => {
    named = { "a.example": "a.example" };
    expect(status(await get("/", `a.example\r\nX: ${"x".repeat(9000)}`))).toBe(431);
    const two = "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n".repeat(2);
    expect((await send(two)).match(/HTTP\/1\.1/g)).toHaveLength(1);
  });

  test.each([
    ["a header that never ends", "GET / HTTP/1.1\r\nHost: a.exam"],
    ["a connection that says nothing", ""],
  ])("%s is cut off", async (_what, text) => {
    const startedAt = performance.now();
    await send(text);
    expect(performance.now() - startedAt).toBeLessThan(4000);
  });

  test("one address can't take all connections, and gets them back", async () => {
    named = { "a.example": "a.example" };
    const idle = Array.from({ length: 64 }, () => connect(port, "127.0.0.1").on("error", () => undefined));
    await Promise.all(idle.map((socket) => once(socket, "connect")));
    await expect(get("/")).rejects.toMatchObject({ code: "ECONNRESET" });
    const other = connect({ port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    other.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    const [answer] = (await once(other, "data")) as [Buffer];
    expect(status(answer.toString())).toBe(308);
    other.destroy();
    for (const socket of idle) socket.destroy();
    await until(async () => status(await get("/").catch(() => "")) === 308);
  });

  test("a body is not waited for", async () => {
    named = { "a.example": "a.example" };
    const answer = await send("POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1000000\r\n\r\n");
    expect(status(answer)).toBe(308);
  });
});

test("a stop answers who was accepted before it, refuses who comes after, and waits for nobody longer than for a request", async () => {
  named = { "a.example": "a.example" };
  const [closing, at] = await open(2000);
  const accepted = connect(at, "127.0.0.1");
  const silent = connect(at, "127.0.0.1");
  silent.on("error", () => undefined);
  // Both are with the process once a third one, which came later, was answered.
  const later = connect(at, "127.0.0.1");
  later.resume().write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  await once(later, "close");
  const closed = closing.close();
  const [refused] = (await once(connect(at, "127.0.0.1"), "error")) as [NodeJS.ErrnoException];
  expect(refused.code).toBe("ECONNREFUSED");
  let answer = "";
  accepted.on("data", (chunk: Buffer) => (answer += chunk.toString()));
  accepted.write("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
  await once(accepted, "close");
  expect(status(answer)).toBe(308);
  await closed;
  if (!silent.closed) await once(silent, "close");
});

test("without Redis a challenge is not denied", async () => {
  await pending();
  await redis.kill();
  expect(status(await get(CHALLENGE))).toBe(503);
  await redis.restart();
  await until(async () => (await operator.ping().catch(() => "")) === "PONG");
});
