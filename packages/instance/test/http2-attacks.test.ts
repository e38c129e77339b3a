/** An attacker that speaks HTTP/2 by hand, through TLS and a PROXY header: docs/attack-suites.md has the list. */
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { AttackBed, SMUGGLED } from "./support/attack-bed.ts";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME as HOST, untilClosed } from "./support/front-bed.ts";
import {
  block,
  END_HEADERS,
  END_STREAM,
  frame,
  FRAME,
  integer,
  preface,
  readFrames,
  setting,
  text,
  uint32,
  type ReadFrame,
} from "./support/http2-frames.ts";

let bed: AttackBed;
beforeAll(async () => {
  bed = await AttackBed.open();
});
afterAll(() => bed.close());
beforeEach(() => bed.forget());

type Fields = [name: string, value: string][];
const QUIET_MS = 250;
/** Octets that one peer may make a process hold, whatever it does; what a test itself holds is in it as well. */
const MEMORY_BOUND = 96 * 1024 * 1024;

function request(over: Record<string, string | undefined> = {}, more: Fields = []): Fields {
  const pseudo = { ":method": "POST", ":scheme": "https", ":authority": HOST, ":path": "/mcp", ...over };
  const own = Object.entries(pseudo).filter((field): field is [string, string] => field[1] !== undefined);
  return [...own, ["authorization", `Bearer ${bed.token}`], ...more];
}

function headers(fields: Fields, { stream = 1, ends = false } = {}): Buffer {
  const flags = END_HEADERS | (ends ? END_STREAM : 0);
  return frame(FRAME.headers, flags, { stream, payload: block(fields) });
}

function data(body: string, { stream = 1, ends = true } = {}): Buffer {
  return frame(FRAME.data, ends ? END_STREAM : 0, { stream, payload: Buffer.from(body, "latin1") });
}

async function open(settings?: Buffer): Promise<TLSSocket> {
  const socket = await bed.front.connect({ ALPNProtocols: ["h2"] });
  socket.write(preface(settings));
  return socket;
}

/** Sends frames behind the preface; returns what is answered, to its end or until nothing more comes. */
async function say(...frames: Buffer[]): Promise<ReadFrame[]> {
  const socket = await open();
  socket.setTimeout(QUIET_MS, () => socket.destroy());
  socket.write(Buffer.concat(frames));
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    if (readFrames(Buffer.concat(chunks)).some(isLast)) socket.end();
  });
  return readFrames(await untilClosed(socket));
}

/** True for a frame behind which nothing more is said about stream 1. */
function isLast({ type, flags }: ReadFrame): boolean {
  const isEnd = (type === FRAME.data || type === FRAME.headers) && (flags & END_STREAM) !== 0;
  return isEnd || type === FRAME.rstStream || type === FRAME.goaway;
}

/** Sends one request by hand; returns what arrived of it. */
async function arrives(fields: Fields, body = "ab"): Promise<string[]> {
  await say(headers(fields), data(body));
  return await bed.arrived();
}

describe("smuggling from HTTP/2 to HTTP/1.1", () => {
  test.each<[string, () => Fields, string?]>([
    [
      "H2.TE: a transfer coding",
      () => request({}, [["transfer-encoding", "chunked"]]),
      `0\r\n\r\n${SMUGGLED}`,
    ],
    ["H2.CL: a length that is too short", () => request({}, [["content-length", "2"]]), `ab${SMUGGLED}`],
    ["H2.CL: a length of nothing", () => request({}, [["content-length", "0"]]), SMUGGLED],
    ["H2.CL: a length that is too long", () => request({}, [["content-length", "500"]]), "ab"],
    [
      "two lengths",
      () =>
        request({}, [
          ["content-length", "2"],
          ["content-length", "2"],
        ]),
    ],
    ["a length with a sign", () => request({}, [["content-length", "+2"]])],
    ["Connection", () => request({}, [["connection", "keep-alive"]])],
    ["Upgrade", () => request({}, [["upgrade", "h2c"]])],
    ["TE other than trailers", () => request({}, [["te", "gzip"]])],
    ["an upper-case name", () => request({}, [["X-Auth-User", "root"]])],
    ["a pseudo field behind others", () => request({}, [[":path", "/admin/keys"]])],
    ["two paths", () => [[":path", "/admin/keys"], ...request()]],
    ["two authorities", () => [[":authority", "b.example"], ...request()]],
    ["an unknown pseudo field", () => [[":evil", "b"], ...request()]],
    ["a status in a request", () => [[":status", "200"], ...request()]],
    ["extended CONNECT", () => [[":protocol", "websocket"], ...request({ ":method": "CONNECT" })]],
    [
      "CONNECT",
      () => [
        [":method", "CONNECT"],
        [":authority", "b.example:443"],
      ],
    ],
    ["no path", () => request({ ":path": undefined })],
    ["an empty path", () => request({ ":path": "" })],
    ["a path without a slash", () => request({ ":path": "admin/keys" })],
    ["a request line in the path", () => request({ ":path": "/mcp HTTP/1.1\r\nX-Auth-User: root\r\nX: " })],
    ["a line end in the path", () => request({ ":path": "/mcp\r\nX-Auth-User: root" })],
    ["a URL as the path", () => request({ ":path": "https://b.example/mcp" })],
    ["a fragment in the path", () => request({ ":path": "/open/x#/../../admin/keys" })],
    ["dot segments with parameters in the path", () => request({ ":path": "/open/..;/admin/keys" })],
    ["a request line in the method", () => request({ ":method": "GET /admin/keys HTTP/1.1\r\nX: " })],
    ["a lower-case method, which some frameworks fold", () => request({ ":method": "delete" })],
    ["an empty method", () => request({ ":method": "" })],
    ["another scheme", () => request({ ":scheme": "http" })],
    ["a URL in the scheme", () => request({ ":scheme": "https://b.example/x?" })],
    ["no authority and no Host", () => request({ ":authority": undefined })],
    ["another authority", () => request({ ":authority": "b.example" })],
    ["userinfo in the authority", () => request({ ":authority": `b.example@${HOST}` })],
    ["a line end in the authority", () => request({ ":authority": `${HOST}\r\nX-Auth-User: root` })],
    ["Host beside authority, another", () => request({}, [["host", "b.example"]])],
    [
      "two Host fields",
      () =>
        request({ ":authority": undefined }, [
          ["host", HOST],
          ["host", "b.example"],
        ]),
    ],
    ["a second Authorization", () => request({}, [["authorization", "Bearer x"]])],
    ["an expectation that nobody knows", () => request({}, [["expect", "200-ok"]])],
  ])("%s: nothing arrives", async (_name, ...[fields, body]) => {
    expect(await arrives(fields(), body)).toEqual([]);
  });

  test.each<[string, [string, string]]>([
    ["CR LF in a value", ["x-a", "b\r\nX-Auth-User: root"]],
    ["CR in a value", ["x-a", "b\rX-Auth-User: root"]],
    ["LF in a value", ["x-a", "b\nX-Auth-User: root"]],
    ["NUL in a value", ["x-a", "b\u0000c"]],
    ["CR LF in a name", ["x-a: b\r\nx-auth-user", "root"]],
    ["a colon in a name", ["x-auth-user: root\r\nx", "b"]],
    ["a space in a name", ["x a", "b"]],
    ["an empty name", ["", "b"]],
    ["an identity in another spelling", ["x_auth~user", "root"]],
    ["an overriding path", ["x_original_url", "/admin/keys"]],
    ["a second spelling of the length", ["content_length", "0"]],
  ])("%s: the request arrives without that field", async (_name, field) => {
    expect(await arrives(request({}, [field]))).toEqual(["POST /mcp ab"]);
    const names = bed.upstream.requests.flatMap(({ fields }) => fields.map(([name]) => name.toLowerCase()));
    expect(names.filter((name) => !/^[a-z-]+$/.test(name) || name === "x-a")).toEqual([]);
  });

  test("cookie crumbs are joined, ours taken out", async () => {
    const crumbs: Fields = [
      ["cookie", "__Host-gatehouse-a=b"],
      ["cookie", "c=d; gatehouse-x=1"],
      ["cookie", "e=f"],
    ];
    await arrives(request({}, crumbs));
    expect(bed.values("cookie")).toEqual([["c=d; e=f"]]);
  });

  test("trailers that name security fields do not travel", async () => {
    const trailers: Fields = [
      ["x-auth-user", "root"],
      ["x-auth-scopes", "admin"],
    ];
    await say(headers(request()), data("ab", { ends: false }), headers(trailers, { ends: true }));
    expect(await bed.arrived()).toEqual(["POST /mcp ab"]);
  });
});

/** Sends frames while somebody else asks; returns what was answered. What the process came to hold meanwhile is bounded. */
async function flood(
  frames: Iterable<Buffer>,
  { settings, reads = true }: { settings?: Buffer; reads?: boolean } = {},
): Promise<ReadFrame[]> {
  const socket = await open(settings);
  const chunks: Buffer[] = [];
  if (reads) socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  const before = held();
  let most = 0;
  for (const octets of frames) {
    if (!socket.writable) break;
    if (!socket.write(octets)) await room(socket);
    most = Math.max(most, held() - before);
  }
  const honest = await bed.front.get("/open/meanwhile");
  most = Math.max(most, held() - before);
  socket.destroy();
  expect(honest).toEqual({ status: 200, body: "GET /open/meanwhile" });
  expect(most).toBeLessThan(MEMORY_BOUND);
  return readFrames(Buffer.concat(chunks));
}

/** Waits for the server to read on, but not for one that has stopped. */
async function room(socket: TLSSocket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(() => resolve(), 5);
  socket.once("drain", resolve).once("close", resolve);
  await promise;
  clearTimeout(timer);
  socket.off("drain", resolve).off("close", resolve);
}

function held(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** So many octets of a frame at a time, in writes of a hundred. */
function* times(count: number, make: (index: number) => Buffer): Generator<Buffer> {
  for (let at = 0; at < count; at += 100)
    yield Buffer.concat(Array.from({ length: Math.min(100, count - at) }, (_, i) => make(at + i)));
}

describe("floods: memory stays bounded, and others are served", () => {
  const settings = frame(FRAME.settings, 0, { payload: setting(3, 100) });
  const ping = frame(FRAME.ping, 0, { payload: Buffer.alloc(8) });

  test.each([
    ["SETTINGS", true, settings],
    ["SETTINGS whose acknowledgements nobody reads", false, settings],
    ["PING", true, ping],
    ["PING whose answers nobody reads", false, ping],
  ])("%s", async (_name, reads, octets) => {
    await flood(
      times(20_000, () => octets),
      { reads },
    );
  });

  test("PRIORITY, WINDOW_UPDATE and frames of no known type", async () => {
    const window = frame(FRAME.windowUpdate, 0, { payload: uint32(1) });
    const priority = frame(FRAME.priority, 0, { stream: 1, payload: Buffer.from([0, 0, 0, 3, 1]) });
    await flood(
      times(
        20_000,
        (i) => [window, priority, frame(0xfe, 0, { payload: Buffer.alloc(64) })][i % 3] ?? window,
      ),
    );
  });

  test("empty DATA", async () => {
    await flood(
      (function* () {
        yield headers(request());
        yield* times(20_000, () => data("", { ends: false }));
      })(),
    );
  });

  test("CONTINUATION without end (CVE-2024-27983)", async () => {
    const answered = await flood(
      (function* () {
        yield frame(FRAME.headers, 0, { stream: 1, payload: block(request()) });
        yield* times(20_000, (i) =>
          frame(FRAME.continuation, 0, { stream: 1, payload: block([[`x-${i}`, "y".repeat(1000)]]) }),
        );
      })(),
    );
    expect(answered.some(({ type }) => type === FRAME.goaway)).toBe(true);
    expect(await bed.arrived()).toEqual(["GET /open/meanwhile"]);
  });

  test("rapid reset: what is opened and reset costs the upstream a bounded number of requests (CVE-2023-44487)", async () => {
    const reset = (stream: number): Buffer => frame(FRAME.rstStream, 0, { stream, payload: uint32(8) });
    const answered = await flood(
      times(10_000, (i) =>
        Buffer.concat([
          headers(request({ ":method": "GET" }), { stream: 2 * i + 1, ends: true }),
          reset(2 * i + 1),
        ]),
      ),
    );
    expect(answered.some(({ type }) => type === FRAME.goaway)).toBe(true);
    expect(bed.upstream.requests.length).toBeLessThan(1000);
  });

  test("a reset that the server is made to send itself counts as well (CVE-2025-8671)", async () => {
    const wrong = frame(FRAME.windowUpdate, 0, { stream: 0, payload: uint32(0) });
    const answered = await flood(
      times(10_000, (i) => {
        const stream = 2 * i + 1;
        const zero = frame(FRAME.windowUpdate, 0, { stream, payload: uint32(0) });
        return i % 2 === 0
          ? Buffer.concat([headers(request({ ":method": "GET" }), { stream, ends: true }), zero])
          : wrong;
      }),
    );
    expect(answered.some(({ type }) => type === FRAME.goaway)).toBe(true);
    expect(bed.upstream.requests.length).toBeLessThan(1000);
  });

  test("an HPACK bomb: one large entry named thousands of times", async () => {
    // Literal with incremental indexing (RFC 7541 section 6.2.1), then references to it, of one octet each.
    const entry = Buffer.concat([Buffer.from([0x40]), text("x-bomb"), text("y".repeat(3900))]);
    const bomb = Buffer.concat([block(request()), entry, Buffer.alloc(8000, 0x80 | 62)]);
    const frames = await say(frame(FRAME.headers, END_HEADERS | END_STREAM, { stream: 1, payload: bomb }));
    expect(
      frames.some(({ type }) => type === FRAME.rstStream || type === FRAME.goaway || type === FRAME.headers),
    ).toBe(true);
    expect(await bed.arrived()).toEqual([]);
    await flood(
      times(100, (i) => frame(FRAME.headers, END_HEADERS | END_STREAM, { stream: 2 * i + 1, payload: bomb })),
    );
  });

  test("a table size beyond all bounds ends the session", async () => {
    const update = Buffer.concat([integer(2 ** 30, 5)]);
    update[0] = (update[0] ?? 0) | 0x20;
    const frames = await say(
      frame(FRAME.headers, END_HEADERS, { stream: 1, payload: Buffer.concat([update, block(request())]) }),
    );
    expect(frames.at(-1)?.type).toBe(FRAME.goaway);
  });
});

describe("window games", () => {
  test("a window of nothing: answers wait at the upstream, not here", async () => {
    const [count, size] = [10, 32 * 1024 * 1024];
    const octets = Buffer.concat([
      Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`),
      Buffer.alloc(size, 120),
    ]);
    bed.upstream.answer = { octets };
    const socket = await open(setting(4, 0));
    const before = held();
    for (let i = 0; i < count; i++)
      socket.write(headers(request({ ":method": "GET" }), { stream: 2 * i + 1, ends: true }));
    await until(() => bed.upstream.requests.length >= count);
    // The rest of what was taken is in the kernel's buffers.
    expect(await bed.upstream.written()).toBeLessThan((count * size) / 2);
    expect(held() - before).toBeLessThan(MEMORY_BOUND);
    bed.upstream.answer = undefined;
    expect(await bed.front.get("/open/x")).toMatchObject({ status: 200 });
    socket.destroy();
  });

  test("a window of one octet at a time: so it is sent, and others are served", async () => {
    const socket = await open(setting(4, 0));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.write(headers(request({ ":method": "GET" }), { ends: true }));
    const answered = (): ReadFrame[] => readFrames(Buffer.concat(chunks));
    await until(() => answered().some(({ type }) => type === FRAME.headers));
    for (let i = 0; i < 8; i++) socket.write(frame(FRAME.windowUpdate, 0, { stream: 1, payload: uint32(1) }));
    const body = (): string =>
      answered()
        .filter(({ type }) => type === FRAME.data)
        .map(({ payload }) => String(payload))
        .join("");
    await until(() => body() === "GET /mcp");
    expect(await bed.front.get("/open/x")).toMatchObject({ status: 200 });
    socket.destroy();
  });

  test.each([
    ["a window beyond 2^31-1", () => frame(FRAME.windowUpdate, 0, { payload: uint32(0x7fffffff) })],
    ["an initial window beyond 2^31-1", () => frame(FRAME.settings, 0, { payload: setting(4, 0x80000000) })],
    [
      "a window of the connection grown by nothing",
      () => frame(FRAME.windowUpdate, 0, { payload: uint32(0) }),
    ],
    ["a frame longer than allowed", () => frame(FRAME.ping, 0, { payload: Buffer.alloc(20_000) })],
    ["headers on stream 0", () => headers(request(), { stream: 0 })],
    ["headers on a stream of the server's", () => headers(request(), { stream: 2 })],
    ["data on a stream that is not open", () => data("ab", { stream: 7 })],
    [
      "a push from the client",
      () => frame(FRAME.pushPromise, END_HEADERS, { stream: 1, payload: uint32(2) }),
    ],
    [
      "another frame inside a header",
      () => Buffer.concat([frame(FRAME.headers, 0, { stream: 1, payload: block(request()) }), data("ab")]),
    ],
    [
      "a header block that is none",
      () =>
        frame(FRAME.headers, END_HEADERS, {
          stream: 1,
          payload: Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        }),
    ],
    ["SETTINGS of half an entry", () => frame(FRAME.settings, 0, { payload: Buffer.alloc(5) })],
    ["no preface", () => Buffer.alloc(0)],
  ])("%s ends the session, and nothing arrives", async (name, octets) => {
    const socket = await bed.front.connect({ ALPNProtocols: ["h2"] });
    socket.write(name === "no preface" ? Buffer.from(SMUGGLED) : Buffer.concat([preface(), octets()]));
    const frames = readFrames(await untilClosed(socket));
    expect(frames.some(({ type }) => type === FRAME.goaway)).toBe(true);
    expect(await bed.arrived()).toEqual([]);
  });
});
