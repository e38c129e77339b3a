/** Fields of a request's record that its printed line does not show. */
import { once } from "node:events";
import { createHash } from "node:crypto";
import { afterEach, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { LogRecord } from "@gatehouse/shared/log-record";
import { faultOf } from "../src/fault.ts";
import { recordedPath } from "../src/recorded-path.ts";
import { until } from "@gatehouse/testbed/until";
import { RawPeer, startFront, startRawUpstream, startUpstream, type Front } from "./forward-harness.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = `traceparent: 00-${TRACE}-00f067aa0ba902b7-01`;
const UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x";
const SWITCHING = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
/** Milliseconds that an upstream takes, so that it can be told from the rest. */
const THINKING_MS = 80;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function front(...args: Parameters<typeof startFront>): Promise<Front> {
  const started = await startFront(...args);
  cleanups.push(started.close);
  return started;
}

function ask(at: Front, line: string, ...fields: string[]): RawPeer {
  const peer = new RawPeer(
    at.h1Port,
    [`${line} HTTP/1.1`, "Host: app.example", ...fields, "", ""].join("\r\n"),
  );
  cleanups.push(() => peer.socket.destroy());
  return peer;
}

/** An upstream that thinks, then streams three events, and tells which traces it was asked under. */
async function streaming(): Promise<{ url: string; traces: string[] }> {
  const traces: string[] = [];
  const upstream = await startUpstream((request, response) => {
    traces.push(String(request.headers["traceparent"]).slice(3, 35));
    setTimeout(() => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      let count = 0;
      const timer = setInterval(() => {
        response.write("data: x\n\n");
        if (++count < 3) return;
        clearInterval(timer);
        response.end();
      }, 20);
    }, THINKING_MS);
  });
  cleanups.push(upstream.close);
  return { url: upstream.url, traces };
}

describe("the trace", () => {
  test.each([
    ["continued", [PARENT], true],
    ["begun here", [], false],
    ["begun here, for what was sent is none", ["traceparent: 00-secret"], false],
  ])(
    "%s: the id that the upstream sees is on every record of the request",
    async (_what, fields, isContinued) => {
      const { url, traces } = await streaming();
      const at = await front(url, { isDebug: true });
      ask(at, "GET /", ...fields);
      await at.ended();
      expect(at.records.map(({ event }) => event)).toEqual([
        "stream_started",
        "stream_chunk",
        "stream_chunk",
        "stream_chunk",
        "request_ended",
      ]);
      expect(traces[0] === TRACE).toBe(isContinued);
      expect(new Set(at.records.map(({ trace_id: id }) => id))).toEqual(new Set(traces));
    },
  );

  test.each([
    ["valid", [PARENT], TRACE],
    ["none", [], undefined],
    ["twice", [PARENT, PARENT], undefined],
  ])(
    "of a request that is refused: the peer's own, when it sent one: %s",
    async (_what, fields, expected) => {
      const at = await front("http://127.0.0.1:1");
      ask(at, "GET /a/../b", ...fields);
      expect((await at.ended()).trace_id).toBe(expected);
    },
  );
});

describe("upstream_ms", () => {
  test("is the time from dispatch to the head of the answer, not to its end", async () => {
    const told = Promise.withResolvers<void>();
    const upstream = await startUpstream((_request, response) => {
      setTimeout(() => {
        response.writeHead(200, { "content-length": 10 });
        response.write("begin");
        void told.promise.then(() => response.end("-end!"));
      }, THINKING_MS);
    });
    cleanups.push(upstream.close);
    const at = await front(upstream.url);
    const peer = ask(at, "GET /");
    // The rest takes its time from when the beginning has arrived, however busy the machine is.
    await once(peer.socket, "data");
    setTimeout(() => told.resolve(), THINKING_MS);
    const { upstream_ms: upstreamMs = 0, duration_ms: durationMs = 0 } = await at.ended();
    expect(upstreamMs).toBeGreaterThanOrEqual(THINKING_MS - 5);
    expect(durationMs).toBeGreaterThanOrEqual(upstreamMs + THINKING_MS - 5);
  });

  test("is missing where there was no answer", async () => {
    const at = await front("http://127.0.0.1:1");
    ask(at, "GET /");
    expect(await at.ended()).not.toHaveProperty("upstream_ms");
  });
});

test("an event stream counts its chunks; another answer has none", async () => {
  const at = await front((await streaming()).url);
  ask(at, "GET /");
  expect(await at.ended()).toMatchObject({ chunks: 3, ended_by: "upstream" });
  const plain = await startUpstream((_request, response) => response.end("x"));
  cleanups.push(plain.close);
  at.configure(plain.url);
  ask(at, "GET /");
  const record = await at.ended(2);
  expect(record).not.toHaveProperty("chunks");
  expect(record).not.toHaveProperty("message");
});

describe("who ended it", () => {
  test.each<[string, string, string[], string, Partial<LogRecord>]>([
    ["a body over the limit", "POST /", ["Content-Length: 99"], "", { status: 413, ended_by: "gateway" }],
    ["a body that stands still", "POST /", ["Content-Length: 9"], "", { status: 408, ended_by: "gateway" }],
    [
      "a second body length",
      "POST /",
      ["Transfer-Encoding: chunked"],
      "zz\r\n",
      { status: 499, ended_by: "peer" },
    ],
  ])("%s", async (_what, ...row) => {
    const [line, fields, body, expected] = row;
    const upstream = await startRawUpstream(() => undefined);
    cleanups.push(upstream.close);
    const at = await front(upstream.url, { limits: { maxBodyBytes: 10, bodyIdleTimeoutMs: 50 } });
    ask(at, line, ...fields).send(body);
    expect(await at.ended()).toMatchObject(expected);
  });

  test("of a WebSocket whose peer leaves before it opened, and of one that was ended before", async () => {
    const upstream = await startRawUpstream(() => undefined);
    cleanups.push(upstream.close);
    const at = await front(upstream.url);
    const leaving = ask(at, "GET /ws", UPGRADE);
    await until(() => (upstream.received[0] ?? "").includes("/ws"));
    leaving.socket.destroy();
    expect(await at.ended()).toMatchObject({ status: 499, ended_by: "peer", reason: "aborted_by_peer" });
    ask(at, "GET /ws2", UPGRADE);
    await until(() => (upstream.received[1] ?? "").includes("/ws2"));
    at.forwarder.withdraw("token_revoked", () => "all");
    expect(await at.ended(2)).toMatchObject({ status: 502, ended_by: "gateway", reason: "token_revoked" });
  });

  test("of a WebSocket that was open: with its start, its chunks and the time to its 101", async () => {
    const upstream = await startRawUpstream((socket) =>
      socket.once("data", () => {
        socket.write(SWITCHING);
        setTimeout(() => socket.end("hello"), 30);
      }),
    );
    cleanups.push(upstream.close);
    const at = await front(upstream.url);
    await once(ask(at, "GET /ws", UPGRADE, PARENT).socket, "close");
    const record = await at.ended();
    expect(record).toMatchObject({ status: 101, ended_by: "upstream", chunks: 1, trace_id: TRACE });
    expect(record.message).toBe("stream ended by upstream, 1 chunk");
    expect(record.upstream_ms).toBeGreaterThan(0);
    expect(at.records.map(({ event }) => event)).toEqual(["stream_started", "stream_chunk", "request_ended"]);
  });
});

describe("what a record may say", () => {
  test.each([
    ["/mcp", "/mcp"],
    ["/mcp?token=x#y", "/mcp"],
    ["https://user:password@host.example/a?b", "/a"],
    ["https://host.example", "/"],
    ["/interaction/id", "/interaction/…"],
    ["//authorize%2Fid/x?y", "//authorize/…"],
    ["/authorize?state=x", "/authorize"],
    ["/authorized/by", "/authorized/by"],
    ["host.example:443", undefined],
    ["*", undefined],
  ])("of the target %s: %s", (target, path) => expect(recordedPath(target)).toBe(path));

  test("of a fault: kind and place, and nothing that its message or a property says", () => {
    const secret = fc.stringMatching(/^[a-z0-9]{24}$/);
    const makers: ((text: string) => Error)[] = [
      (text) => new Error(text),
      (text) => new TypeError(`in the middle ${text} of it\n    at ${text} (file.ts:1:1)`),
      (text) =>
        Object.assign(new Error(`ERR unknown command, with args beginning with: ${text}`), { command: text }),
      (text) => Object.assign(new RangeError("x"), { code: text, cause: new Error(text) }),
      (text) => {
        try {
          return JSON.parse(`{"a": ${text}`) as Error;
        } catch (error) {
          return error as Error;
        }
      },
    ];
    fc.assert(
      fc.property(secret, fc.constantFrom(...makers), (text, make) => {
        const said = faultOf(make(text));
        expect(said).not.toContain(text.slice(0, 8));
        expect(said).toMatch(/^\w*Error[ \w]* at request-record\.test\.ts:\d+/);
      }),
    );
    expect(faultOf(createHash)).toBe("not an error");
  });
});
