import { once } from "node:events";
import { constants, type ClientHttp2Session } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { WebSocket, WebSocketServer } from "ws";
import { until } from "@gatehouse/testbed/until";
import {
  ask,
  HOSTNAME,
  openBed,
  statusOf,
  untilClosed,
  wholeAnswer,
  type Bed,
  type Front,
} from "./support/front-bed.ts";
import { frame, preface } from "./support/http2-frames.ts";

let bed: Bed;
let front: Front;

beforeAll(async () => {
  bed = await openBed();
  front = await bed.start({
    GATEHOUSE_HEADERS_TIMEOUT_MS: "300",
    GATEHOUSE_KEEPALIVE_TIMEOUT_MS: "400",
    GATEHOUSE_BODY_IDLE_TIMEOUT_MS: "300",
    GATEHOUSE_MAX_HEADER_BYTES: "8192",
  });
  bed.upstream.answers.set("/stream", (_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
  });
});
afterAll(() => bed.close());

const GET = `GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\n`;

describe("HTTP/1.1 bounds", () => {
  test("a header that trickles in is answered 408, and the connection closed", async () => {
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(GET);
    const drip = setInterval(() => socket.write("X-A: b\r\n"), 50);
    const answer = String(await untilClosed(socket));
    clearInterval(drip);
    expect(statusOf(answer)).toBe(408);
    const record = await front.record(({ reason }) => reason === "request_timeout");
    expect(record).toMatchObject({ event: "request_ended", status: 408, ip: "192.0.2.7" });
  });

  test("a peer that says nothing after the handshake is cut too", async () => {
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    await untilClosed(socket);
  });

  test("an idle connection is closed without a word", async () => {
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(`${GET}\r\n`);
    expect(statusOf(await wholeAnswer(socket))).toBe(200);
    expect(await untilClosed(socket)).toHaveLength(0);
  });

  test("a stream is not idle: it outlives both", async () => {
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(`GET /stream HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    await once(socket, "data");
    const idle = await front.connect({ ALPNProtocols: ["http/1.1"] });
    idle.write(`${GET}\r\n`);
    await untilClosed(idle);
    expect(socket.closed).toBe(false);
    socket.destroy();
  });

  test("a header over the bound is 431, nonsense is 400; both are recorded", async () => {
    expect(statusOf(await front.raw(`${GET}X-Long: ${"x".repeat(9000)}\r\n\r\n`))).toBe(431);
    await front.record(({ reason }) => reason === "header_too_large");
    expect(statusOf(await front.raw("NONSENSE\r\n\r\n"))).toBe(400);
    await front.record(({ reason }) => reason === "malformed_request");
  });

  test("a smuggler's framing is refused (RFC 9112 section 6.3)", async () => {
    const both = `POST / HTTP/1.1\r\nHost: ${HOSTNAME}\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    expect(statusOf(await front.raw(both))).toBe(400);
  });
});

describe("request bodies", () => {
  /** Resolves when the upstream sees that the request is not whole. */
  function abortedAt(path: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    bed.upstream.answers.set(path, (request) =>
      request.resume().once("close", () => request.complete || resolve()),
    );
    return promise;
  }

  test("one that stands still is given up, at the upstream too", async () => {
    const aborted = abortedAt("/stalled");
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(`POST /stalled HTTP/1.1\r\nHost: ${HOSTNAME}\r\nContent-Length: 10\r\n\r\nhalf`);
    expect(statusOf(await wholeAnswer(socket))).toBe(408);
    await aborted;
    socket.destroy();
  });

  test("HTTP/2: only its stream", async () => {
    const aborted = abortedAt("/stalled-2");
    const session = await front.http2();
    const stream = session.request({ ":method": "POST", ":authority": HOSTNAME, ":path": "/stalled-2" });
    stream.on("error", () => undefined).write("half");
    const [[answer]] = await Promise.all([once(stream, "response"), aborted]);
    expect(answer).toMatchObject({ ":status": 408 });
    // Its peer gets some seconds to read the answer, and none to hold the stream open for ever.
    await once(stream.resume(), "close");
    expect((await ask(session, {})).status).toBe(200);
    session.destroy();
  });

  test("one that trickles arrives whole, and a quiet answer to it is left alone", async () => {
    bed.upstream.answers.set("/slow-answer", (request, response) => {
      request.resume().once("end", () => setTimeout(() => response.end("late"), 700));
    });
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(`POST /slow-answer HTTP/1.1\r\nHost: ${HOSTNAME}\r\nContent-Length: 5\r\n\r\n`);
    let sent = 0;
    const drip = setInterval(() => (sent++ < 5 ? socket.write("x") : clearInterval(drip)), 100);
    expect(await wholeAnswer(socket)).toMatch(/late$/);
    clearInterval(drip);
    socket.destroy();
  });
});

describe("Expect: 100-continue (RFC 9110 section 10.1.1)", () => {
  const expecting = (host: string): string =>
    `POST /expect HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n`;

  test("who is admitted is told to go on", async () => {
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(expecting(HOSTNAME));
    const [first] = (await once(socket, "data")) as [Buffer];
    expect(String(first)).toMatch(/^HTTP\/1\.1 100 /);
    socket.write("hello");
    expect(await wholeAnswer(socket)).toContain("upstream /expect");
    socket.destroy();
  });

  test("who is refused is not", async () => {
    expect(statusOf(await front.raw(expecting("b.example")))).toBe(421);
  });
});

test("a WebSocket passes, and a drain lets it be until the deadline", async () => {
  const front20 = await bed.start({ GATEHOUSE_INSTANCE_DRAIN_SECONDS: "1" });
  const echo = new WebSocketServer({ server: bed.upstream.server });
  echo.on("connection", (socket) => socket.on("message", (data) => socket.send(data)));
  const socket = await front20.connect({ ALPNProtocols: ["http/1.1"] });
  const peer = new WebSocket(`wss://${HOSTNAME}/ws`, { createConnection: () => socket });
  await once(peer, "open");
  const closed = once(peer, "close");
  const stopped = front20.stop();
  await front20.record(({ event }) => event === "process_stopping");
  peer.send("still there");
  expect(String((await once(peer, "message"))[0])).toBe("still there");
  await Promise.all([closed, stopped]);
  echo.close();
});

describe("HTTP/2 bounds", () => {
  /** Resolves with the error code of the GOAWAY, or 0 when the session just ended. */
  function ended(session: ClientHttp2Session): Promise<number> {
    return new Promise((resolve) => {
      session.once("goaway", resolve).once("close", () => resolve(0));
    });
  }

  /** Sends frames behind the preface and resolves with the error code of the GOAWAY that answers them. */
  async function goawayCode(frames: Iterable<Buffer>): Promise<number | undefined> {
    const socket = await front.connect({ ALPNProtocols: ["h2"] });
    socket.write(Buffer.concat([preface(), ...frames]));
    const answer = await untilClosed(socket);
    for (let at = 0; at + 9 <= answer.length; at += 9 + answer.readUIntBE(at, 3)) {
      if (answer[at + 3] === 7) return answer.readUInt32BE(at + 13);
    }
    return undefined;
  }

  // :method GET, :scheme https, :path / from the static table, :authority in clear (RFC 7541).
  const block = Buffer.concat([
    Buffer.from([0x82, 0x87, 0x84, 0x41, HOSTNAME.length]),
    Buffer.from(HOSTNAME),
  ]);

  test("rapid reset ends the session (CVE-2023-44487)", async () => {
    const frames = Array.from({ length: 1000 }, (_, i) => {
      const stream = 2 * i + 1;
      return [
        frame(1, 0x5, { stream, payload: block }),
        frame(3, 0, { stream, payload: Buffer.from([0, 0, 0, 8]) }),
      ];
    });
    expect(await goawayCode(frames.flat())).toBe(constants.NGHTTP2_INTERNAL_ERROR);
  });

  test("a header that never ends does (CVE-2024-27983)", async () => {
    const frames = [frame(1, 0, { stream: 1, payload: block })];
    for (let i = 0; i < 100; i++)
      frames.push(frame(9, 0, { stream: 1, payload: Buffer.from([0x00, 0x01, 0x78, 0x01, 0x79]) }));
    expect(await goawayCode(frames)).toBe(constants.NGHTTP2_INTERNAL_ERROR);
  });

  test("settings of more entries than anybody needs do", async () => {
    const payload = Buffer.concat(Array.from({ length: 40 }, () => Buffer.from([0, 3, 0, 0, 0, 100])));
    expect(await goawayCode([frame(4, 0, { payload })])).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  });

  test("a header over the bound is refused", async () => {
    const session = await front.http2();
    const stream = session.request({ ":authority": HOSTNAME, ":path": "/", "x-long": "x".repeat(40_000) });
    const outcome = await Promise.race([
      once(stream, "response").then(([headers]) => Number((headers as Record<string, unknown>)[":status"])),
      once(stream, "close").then(() => 0),
    ]).catch(() => 0);
    expect([0, 431]).toContain(outcome);
    session.destroy();
  });

  test("an idle session is closed in order, one with a stream is not", async () => {
    const [idle, busy] = await Promise.all([front.http2(), front.http2()]);
    const stream = busy.request({ ":authority": HOSTNAME, ":path": "/stream" });
    await once(stream, "data");
    expect((await ask(idle, {})).status).toBe(200);
    expect(await ended(idle)).toBe(constants.NGHTTP2_NO_ERROR);
    expect(busy.closed).toBe(false);
    busy.destroy();
  });

  test("a session may hold many streams, and uploads are not stopped at the default window", async () => {
    const session = await front.http2();
    await ask(session, {});
    expect(session.remoteSettings.maxConcurrentStreams).toBe(256);
    expect(session.remoteSettings.initialWindowSize).toBe(524_288);
    await until(() => (session.state.remoteWindowSize ?? 0) > 1_000_000);
    session.destroy();
  });
});

describe("drain", () => {
  test("nothing new is accepted; what runs ends in order and is told that it is the last", async () => {
    const draining = await bed.start({ GATEHOUSE_INSTANCE_DRAIN_SECONDS: "20" });
    let answer: (() => void) | undefined;
    bed.upstream.answers.set("/slow", (_request, response) => {
      answer = () => response.end("done");
    });
    const busy = await draining.connect({ ALPNProtocols: ["http/1.1"] });
    const idle = await draining.connect({ ALPNProtocols: ["http/1.1"] });
    const session = await draining.http2();
    busy.write(`GET /slow HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    const finish = await until(() => answer);
    const goaway = once(session, "goaway");
    const idleClosed = untilClosed(idle);
    const stopped = draining.stop();
    await goaway;
    await idleClosed;
    await expect(draining.open()).rejects.toThrow("ECONNREFUSED");
    expect((await draining.health().catch(() => ({ status: 503 }))).status).toBe(503);
    finish();
    expect(String(await untilClosed(busy))).toMatch(/connection: close\r\n[^]*done$/i);
    await stopped;
    expect(draining.records.map(({ event }) => event)).toEqual(
      expect.arrayContaining(["process_started", "process_stopping", "process_stopped"]),
    );
  });

  test("a peer that has just shaken hands still has its first request answered, one that has had an answer is let go", async () => {
    const draining = await bed.start({ GATEHOUSE_INSTANCE_DRAIN_SECONDS: "20" });
    const fresh = await draining.connect({ ALPNProtocols: ["http/1.1"] });
    const session = await draining.http2();
    const used = await draining.connect({ ALPNProtocols: ["http/1.1"] });
    const request = `GET /hello HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`;
    used.write(request);
    await once(used, "data");
    const usedClosed = untilClosed(used);
    const stopped = draining.stop();
    // It is gone before the others have said anything, so the drain has begun.
    await usedClosed;
    fresh.write(request);
    expect(String(await untilClosed(fresh))).toMatch(/^HTTP\/1\.1 200 [^]*connection: close\r\n/i);
    const stream = session.request({ ":path": "/hello" });
    const [headers] = (await once(stream, "response")) as [Record<string, unknown>];
    expect(headers[":status"]).toBe(200);
    stream.resume();
    await once(stream, "end");
    await stopped;
  });

  test.each(["h2", "http/1.1"])("%s: at the deadline streams are ended, in order", async (protocol) => {
    const draining = await bed.start({ GATEHOUSE_INSTANCE_DRAIN_SECONDS: "0" });
    const socket = await draining.connect({ ALPNProtocols: [protocol] });
    let text = "";
    let ended: Promise<unknown>;
    if (protocol === "h2") {
      const { connect } = await import("node:http2");
      const session = connect(`https://${HOSTNAME}`, { createConnection: () => socket });
      const stream = session.request({ ":path": "/stream" });
      stream.on("data", (chunk) => (text += String(chunk)));
      await once(stream, "data");
      ended = once(stream, "end");
    } else {
      socket.on("data", (chunk) => (text += String(chunk)));
      socket.write(`GET /stream HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
      await once(socket, "data");
      ended = once(socket, "close");
    }
    await Promise.all([draining.stop(), ended]);
    expect(text).toContain("data: 1");
    if (protocol !== "h2") expect(text).toMatch(/\r\n0\r\n\r\n$/);
  });
});
