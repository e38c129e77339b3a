import { once } from "node:events";
import type * as http from "node:http";
import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { until } from "@gatehouse/testbed/until";
import {
  ask,
  H2Peer,
  RawPeer,
  startFront,
  startRawUpstream,
  startUpstream,
  type Front,
  type FrontOptions,
} from "./forward-harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const GET = "GET /sse HTTP/1.1\r\nHost: app.example\r\n\r\n";
const EVENT_STREAM = { "content-type": "text/event-stream", "cache-control": "no-cache" };

async function serve(listener: http.RequestListener, options: FrontOptions = {}): Promise<Front> {
  const upstream = await startUpstream(listener);
  const front = await startFront(upstream.url, options);
  cleanups.push(upstream.close, front.close);
  return front;
}

async function serveRaw(
  onConnection: (socket: Socket, count: number) => void,
  options: FrontOptions = {},
): Promise<{ front: Front; upstream: Awaited<ReturnType<typeof startRawUpstream>> }> {
  const upstream = await startRawUpstream(onConnection);
  const front = await startFront(upstream.url, options);
  cleanups.push(upstream.close, front.close);
  return { front, upstream };
}

function raw(front: Front, send?: string | Buffer): RawPeer {
  const peer = new RawPeer(front.h1Port, send);
  cleanups.push(() => peer.socket.destroy());
  return peer;
}

function h2(front: Front): H2Peer {
  const peer = new H2Peer(front.h2Port);
  cleanups.push(() => {
    peer.close();
  });
  return peer;
}

/** Runs what happens within a second, and says so when it took longer. */
async function withinASecond(condition: () => boolean): Promise<void> {
  const began = performance.now();
  await until(condition);
  expect(performance.now() - began).toBeLessThan(1000);
}

describe("an event stream", () => {
  test("shows its head before its first event, and each event at once", async () => {
    const responses: http.ServerResponse[] = [];
    const front = await serve((_request, response) => {
      responses.push(response);
      response.writeHead(200, EVENT_STREAM).flushHeaders();
    });
    const one = raw(front, GET);
    const two = h2(front).open({ ":path": "/sse" });
    await one.sees("text/event-stream");
    await until(() => two.answer.status === 200);
    for (let i = 1; i <= 5; i++) {
      for (const response of responses) response.write(`id: ${i}\ndata: x\n\n`);
      await one.sees(`id: ${i}\n`);
      await until(() => two.answer.body.includes(`id: ${i}\n`));
    }
    for (const response of responses) response.end();
    await one.sees("\r\n0\r\n\r\n");
    await until(() => two.answer.isEnded);
  });

  test.each(["chunked", "with a length"])(
    "that is whole is recorded as such over HTTP/2, %s, however fast its end follows its event",
    async (framing) => {
      const event = "event: message\ndata: {}\n\n";
      const length = framing === "chunked" ? {} : { "content-length": Buffer.byteLength(event) };
      const front = await serve((request, response) => {
        request.resume().on("end", () => response.writeHead(200, { ...EVENT_STREAM, ...length }).end(event));
      });
      const peer = h2(front);
      for (let i = 1; i <= 20; i++) {
        const answer = await peer.ask({ ":path": "/mcp", ":method": "POST" }, "{}");
        expect(answer.body).toBe(event);
        const { reason, ended_by: endedBy } = await front.ended(i);
        expect({ reason, endedBy }).toEqual({ reason: undefined, endedBy: "upstream" });
      }
    },
  );

  test("that answers a call is recorded like any answer when it ends by itself", async () => {
    const front = await serve((_request, response) => {
      response.writeHead(200, EVENT_STREAM);
      response.end("data: 1\n\n");
    });
    await ask(front.h1Port, { method: "POST", path: "/mcp" });
    const { message, chunks, ended_by: endedBy } = await front.ended();
    expect([message, chunks, endedBy]).toEqual([undefined, 1, "upstream"]);
  });

  test("is recorded: its start, chunks 1 and 2, and its end; every chunk at debug", async () => {
    const streams = async (isDebug: boolean): Promise<string[]> => {
      const front = await serve(
        (_request, response) => {
          response.writeHead(200, EVENT_STREAM);
          void (async () => {
            for (let i = 0; i < 4; i++) {
              response.write("x".repeat(45));
              await new Promise((resolve) => {
                setTimeout(resolve, 15);
              });
            }
            response.end();
          })();
        },
        { isDebug },
      );
      await ask(front.h1Port, { path: "/sse?secret=1" });
      await front.ended();
      return front.records.map(({ level, event, message, path }) => `${level} ${event} ${message ?? path}`);
    };
    const info = [
      "info stream_started stream started: GET /sse",
      "info stream_chunk SSE chunk 1: 45 bytes",
      "info stream_chunk SSE chunk 2: 45 bytes",
    ];
    expect(await streams(false)).toEqual([...info, "info request_ended stream ended by upstream, 4 chunks"]);
    expect(await streams(true)).toEqual([
      ...info,
      "debug stream_chunk SSE chunk 3: 45 bytes",
      "debug stream_chunk SSE chunk 4: 45 bytes",
      "info request_ended stream ended by upstream, 4 chunks",
    ]);
  });

  test("is ended in order by endStreams, at the peer and at the upstream; other responses go on", async () => {
    const closed: string[] = [];
    let slow: http.ServerResponse | undefined;
    const front = await serve((request, response) => {
      response.on("close", () => closed.push(request.url ?? ""));
      if (request.url === "/slow") slow = response;
      else response.writeHead(200, EVENT_STREAM).write("data: 1\n\n");
    });
    const one = raw(front, GET);
    const two = h2(front).open({ ":path": "/sse" });
    const other = ask(front.h1Port, { path: "/slow" });
    await one.sees("data: 1");
    await until(() => two.answer.body !== "" && slow !== undefined);
    front.forwarder.endStreams();
    await one.sees("\r\n0\r\n\r\n");
    await until(() => two.answer.isEnded && two.answer.code === 0);
    await withinASecond(() => closed.filter((url) => url === "/sse").length === 2);
    slow?.end("done");
    expect((await other).body.toString()).toBe("done");
    expect((await front.ended()).ended_by).toBe("gateway");
  });

  test("close ends everything that runs", async () => {
    const front = await serve((request, response) => {
      if (request.url !== "/silent") response.writeHead(200, { "content-length": "100" }).write("half");
    });
    const half = raw(front, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const silent = raw(front, "GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
    await half.sees("half");
    await front.forwarder.close();
    await half.closed();
    await silent.sees("503 ");
  });
});

describe("a peer that leaves is noticed at the upstream within a second", () => {
  async function watched(): Promise<{ front: Front; isGone: () => boolean; isBegun: () => boolean }> {
    let closed = 0;
    let begun = 0;
    const front = await serve((request, response) => {
      begun++;
      request.socket.on("close", () => closed++);
      request.on("error", () => undefined);
      if (request.url === "/sse") response.writeHead(200, EVENT_STREAM).write("data: 1\n\n");
      else request.resume();
    });
    return { front, isGone: () => closed > 0, isBegun: () => begun > 0 };
  }

  test("HTTP/1.1, in a stream", async () => {
    const { front, isGone } = await watched();
    const peer = raw(front, GET);
    await peer.sees("data: 1");
    peer.socket.destroy();
    await withinASecond(isGone);
    expect(await front.ended()).toMatchObject({
      status: 200,
      ended_by: "peer",
      reason: "aborted_by_peer",
      phase: "body",
    });
  });

  test("HTTP/2, in a stream: the connection and its other streams live on", async () => {
    const { front, isGone } = await watched();
    const peer = h2(front);
    const other = peer.open({ ":path": "/sse" });
    await until(() => other.answer.body !== "");
    const { stream, answer } = peer.open({ ":path": "/sse" });
    await until(() => answer.body !== "");
    stream.close(8);
    await withinASecond(isGone);
    expect(await front.ended()).toMatchObject({ ended_by: "peer" });
    expect(other.answer.isClosed).toBe(false);
  });

  test.each(["HTTP/1.1", "HTTP/2"])("%s, before an answer", async (protocol) => {
    const { front, isGone, isBegun } = await watched();
    const leave =
      protocol === "HTTP/2" ? openStream(front) : openSocket(front, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(isBegun);
    leave();
    await withinASecond(isGone);
    expect(await front.ended()).toMatchObject({ status: 499, ended_by: "peer", phase: "headers" });
  });

  test.each(["HTTP/1.1", "HTTP/2", "HTTP/2 with its connection"])(
    "%s, in an upload, which is never passed as complete",
    async (protocol) => {
      let isWhole = false;
      let isGone = false;
      let bytes = 0;
      const front = await serve((request) => {
        request.on("data", (chunk: Buffer) => {
          bytes += chunk.length;
        });
        request.on("end", () => {
          isWhole = true;
        });
        request.on("error", () => undefined);
        request.on("close", () => {
          isGone = true;
        });
      });
      const leave =
        protocol !== "HTTP/1.1"
          ? openStream(front, { part: "part", withConnection: protocol !== "HTTP/2" })
          : openSocket(
              front,
              "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n",
            );
      await until(() => bytes === 4);
      leave();
      await withinASecond(() => isGone);
      expect(isWhole).toBe(false);
      expect(await front.ended()).toMatchObject({ status: 499, ended_by: "peer", bytes_in: 4 });
    },
  );

  function openSocket(front: Front, text: string): () => void {
    const peer = raw(front, text);
    return () => {
      peer.socket.destroy();
    };
  }

  function openStream(
    front: Front,
    { part, withConnection }: { part?: string; withConnection?: boolean } = {},
  ): () => void {
    const peer = h2(front);
    const { stream } = peer.open(
      { ":path": "/", ":method": part === undefined ? "GET" : "POST" },
      part === undefined,
    );
    if (part !== undefined) stream.write(part);
    return () => {
      if (withConnection === true) peer.close();
      // Node's `close` ends the body before it resets the stream: that would be a whole request.
      else stream.destroy(new Error("left"));
    };
  }
});

describe("a body that is cut short is never passed as whole", () => {
  const HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
  const CASES: [string, string][] = [
    ["by length", `${HEAD}Content-Length: 100\r\n\r\nhalf`],
    ["by chunks", `${HEAD}Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n`],
    ["in a chunk", `${HEAD}Transfer-Encoding: chunked\r\n\r\nff\r\nhalf`],
    ["by the connection's end", `${HEAD}Connection: close\r\n\r\nhalf`],
  ];
  const ENDS: [string, (socket: Socket) => void][] = [
    ["FIN", (socket) => socket.end()],
    ["RST", (socket) => socket.resetAndDestroy()],
  ];
  for (const [framing, text] of CASES) {
    for (const [end, finish] of ENDS) {
      // A body that only the connection's end delimits is whole when that end is in order.
      if (framing === "by the connection's end" && end === "FIN") continue;
      test(`${framing}, ${end}`, async () => {
        const { front, upstream } = await serveRaw((socket) => {
          socket.once("data", () => socket.write(text));
        });
        const one = raw(front, GET);
        const two = h2(front).open({ ":path": "/sse" });
        await until(() => one.text.includes("half") && two.answer.body === "half");
        for (const socket of upstream.sockets) finish(socket);
        await one.closed();
        expect(one.text).not.toContain("0\r\n\r\n");
        expect(one.text).toMatch(/chunked|Content-Length: 100/i);
        await until(() => two.answer.isClosed);
        expect(two.answer.code).toBe(2);
        expect(two.answer.isEnded).toBe(false);
        expect(await front.ended(2)).toMatchObject({
          status: 200,
          reason: "reset",
          phase: "body",
          ended_by: "upstream",
        });
      });
    }
  }

  test("while one delimited by the connection's end is whole when that end is in order", async () => {
    const { front } = await serveRaw((socket) => {
      socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole"));
    });
    expect((await ask(front.h1Port)).body.toString()).toBe("whole");
    expect(await h2(front).ask({ ":path": "/" })).toMatchObject({ body: "whole", isEnded: true, code: 0 });
  });
});

describe("an upstream that fails before its answer", () => {
  test.each(["refused", "no socket"])("%s: 502, connect", async (what) => {
    // Port 1: one that was free a moment ago may be somebody's by now.
    const front = await startFront(
      what === "refused" ? "http://127.0.0.1:1" : "unix:/nonexistent/gatehouse.sock",
    );
    cleanups.push(front.close);
    const answer = await ask(front.h1Port);
    expect(answer.status).toBe(502);
    expect(answer.body.toString()).not.toMatch(/ECONN|127|nonexistent|sock/);
    expect(JSON.parse(answer.body.toString())).toEqual({
      error: "bad_gateway",
      message: expect.any(String),
      request_id: (await front.ended()).req,
    });
    expect(await front.ended()).toMatchObject({ reason: "connect", phase: "connect", level: "error" });
    expect((await h2(front).ask({ ":path": "/" })).status).toBe(502);
    expect(await h2(front).ask({ ":path": "/", ":method": "HEAD" })).toMatchObject({
      status: 502,
      body: "",
      code: 0,
    });
    // With a body on its way: answered, and the connection goes on.
    const peer = raw(front, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel");
    await peer.sees("502 ");
    peer.send("loGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    await until(() => peer.text.split("502 Bad Gateway").length === 3);
  });

  test("a TLS handshake that never ends: 504; a peer that leaves meanwhile is not waited for", async () => {
    const { upstream } = await serveRaw(() => undefined);
    const url = upstream.url.replace("http:", "https:");
    const front = await startFront(url, { limits: { upstreamConnectTimeoutMs: 300 } });
    const patient = await startFront(url, { limits: { upstreamConnectTimeoutMs: 60_000 } });
    cleanups.push(front.close, patient.close);
    expect((await ask(front.h1Port)).status).toBe(504);
    expect(await front.ended()).toMatchObject({ reason: "timeout", phase: "connect" });
    const peer = raw(patient, GET);
    await until(() => upstream.sockets.length === 2);
    peer.socket.destroy();
    await withinASecond(
      () => upstream.sockets.at(1)?.closed === true || upstream.sockets.at(1)?.readableEnded === true,
    );
    expect(await patient.ended()).toMatchObject({ status: 499, phase: "connect" });
  });

  test("silence: 504 after the header timeout, while a quiet stream stays open", async () => {
    const front = await serve(
      (request, response) => {
        if (request.url === "/sse") response.writeHead(200, EVENT_STREAM).flushHeaders();
      },
      { limits: { upstreamHeadersTimeoutMs: 400 } },
    );
    const stream = raw(front, GET);
    await stream.sees("200 OK");
    const [one, two] = await Promise.all([ask(front.h1Port), h2(front).ask({ ":path": "/" })]);
    expect([one.status, two.status]).toEqual([504, 504]);
    expect(await front.ended()).toMatchObject({ reason: "timeout", phase: "headers" });
    expect(stream.isClosed).toBe(false);
  });

  test.each([
    ["no HTTP", "SSH-2.0-OpenSSH\r\n", "malformed"],
    ["a broken field", "HTTP/1.1 200 OK\r\nBad Name: x\r\n\r\n", "malformed"],
    ["a head over the bound", `HTTP/1.1 200 OK\r\nX: ${"x".repeat(70_000)}\r\n\r\n`, "malformed"],
    ["an end in its head", "HTTP/1.1 200 OK\r\nX-Half", "reset"],
  ])("%s: 502", async (_what, text, reason) => {
    const { front } = await serveRaw((socket) => {
      socket.once("data", () => socket.end(text));
    });
    expect((await ask(front.h1Port)).status).toBe(502);
    expect(await front.ended()).toMatchObject({ reason });
  });
});

describe("retry (RFC 9110 section 9.2.2)", () => {
  /** Answers the first request of the first connection and closes it at the second; later connections answer. */
  async function closing(options: { answers: string }): ReturnType<typeof serveRaw> {
    return serveRaw((socket, count) => {
      let requests = 0;
      socket.on("data", () => {
        requests++;
        if (count === 1 && requests === 2) socket.end(options.answers);
        else socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      });
    });
  }

  test.each(["GET", "HEAD", "DELETE", "OPTIONS"])(
    "%s on a kept connection that closes unanswered is sent once more",
    async (method) => {
      const { front, upstream } = await closing({ answers: "" });
      expect((await ask(front.h1Port)).status).toBe(200);
      expect((await ask(front.h1Port, { method })).status).toBe(200);
      expect(upstream.sockets).toHaveLength(2);
      expect(front.records).toHaveLength(2);
    },
  );

  test("not POST, nor a request with a body, nor after the first octet of an answer, nor on a new connection", async () => {
    for (const [request, answers] of [
      [{ method: "POST", headers: { "content-length": "0" } }, ""],
      [{ method: "PUT", body: "x" }, ""],
      [{ method: "GET" }, "HTTP/1.1 2"],
    ] as const) {
      const { front, upstream } = await closing({ answers });
      expect((await ask(front.h1Port)).status).toBe(200);
      expect((await ask(front.h1Port, request)).status).toBe(502);
      expect(await front.ended(2)).toMatchObject({ reason: "reset" });
      expect(upstream.sockets).toHaveLength(1);
    }
    const { front, upstream } = await serveRaw((socket) => {
      socket.once("data", () => socket.end());
    });
    expect((await ask(front.h1Port)).status).toBe(502);
    expect(upstream.sockets).toHaveLength(1);
  });
});

describe("backpressure", () => {
  test("a peer that does not read stops the upstream, on both protocols", async () => {
    let written = 0;
    const front = await serve((_request, response) => {
      const block = Buffer.alloc(65_536);
      const more = (): void => {
        do written += block.length;
        while (response.write(block) && !response.destroyed);
      };
      response.on("drain", more);
      more();
    });
    const before = process.memoryUsage().rss;
    const one = raw(front);
    one.socket.removeAllListeners("data").pause();
    one.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const { stream } = h2(front).open({ ":path": "/" });
    stream.pause();
    let last = -1;
    let still = 0;
    // Steady for a while: what fits in the kernel's buffers is written, and no more.
    await until(() => {
      still = written === last ? still + 1 : 0;
      last = written;
      return still > 100;
    });
    expect(written).toBeLessThan(64 * 1024 * 1024);
    expect(process.memoryUsage().rss - before).toBeLessThan(64 * 1024 * 1024);
    one.socket.resume();
    await until(() => written > last + 4 * 1024 * 1024);
  });

  test("an upstream that does not read stops the peer", async () => {
    const front = await serve(() => undefined);
    const peer = raw(front, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500000000\r\n\r\n");
    const block = Buffer.alloc(65_536);
    let sent = 0;
    const more = (): void => {
      do sent += block.length;
      while (sent < 256 * 1024 * 1024 && peer.socket.write(block));
    };
    peer.socket.on("drain", more);
    more();
    let last = -1;
    let still = 0;
    await until(() => {
      still = sent === last ? still + 1 : 0;
      last = sent;
      return still > 100;
    });
    expect(sent).toBeLessThan(64 * 1024 * 1024);
  });
});

test("an answer before the end of the request reaches the peer whole, and its connection goes on", async () => {
  const { front } = await serveRaw((socket) => {
    socket.on("data", (chunk) => {
      if (chunk.includes("POST ")) socket.write("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno");
    });
  });
  const peer = raw(front, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
  await peer.sees("401 Unauthorized");
  peer.send("worldPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
  await until(() => peer.text.split("401 Unauthorized").length === 3);
  const { stream, answer } = h2(front).open({ ":path": "/", ":method": "POST" }, false);
  stream.write("hello");
  await until(() => answer.isClosed);
  expect(answer).toMatchObject({ status: 401, body: "no", code: 0, isEnded: true });
});

test("a message in the record: from its header fields, else from its body, never its arguments", async () => {
  const front = await serve((request, response) => {
    request.resume().on("end", () => response.end());
  });
  const json = { "content-type": "application/json; charset=utf-8" };
  const call =
    '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"private"}}}';
  await ask(front.h1Port, { method: "POST", headers: json, body: call });
  expect(await front.ended()).toMatchObject({
    mcp_method: "tools/call",
    mcp_tool: "echo",
    bytes_in: call.length,
  });
  await ask(front.h1Port, { method: "POST", headers: { ...json, "mcp-method": "tools/list" }, body: call });
  expect((await front.ended(2)).mcp_method).toBe("tools/list");
  await h2(front).ask({ ":path": "/mcp", ":method": "POST", ...json }, call);
  expect(await front.ended(3)).toMatchObject({ mcp_tool: "echo", path: "/mcp" });
  await ask(front.h1Port, { method: "POST", headers: { "content-type": "text/plain" }, body: call });
  expect(await front.ended(4)).not.toHaveProperty("mcp_method");
  expect(JSON.stringify(front.records)).not.toContain("private");
});

test("descriptors are given back: after many aborted and whole exchanges no connection is left but the idle one", async () => {
  const sockets = new Set<Socket>();
  const front = await serve((request, response) => {
    sockets.add(request.socket);
    request.socket.once("close", () => sockets.delete(request.socket));
    if (request.url === "/sse") response.writeHead(200, EVENT_STREAM).flushHeaders();
    else response.end("ok");
  });
  const session = h2(front);
  for (let round = 0; round < 3; round++) {
    const streams = Array.from({ length: 40 }, () => session.open({ ":path": "/sse" }));
    await until(() => streams.every(({ answer }) => answer.status === 200));
    for (const { stream } of streams) stream.close(8);
    await ask(front.h1Port);
    await until(() => sockets.size <= 1);
  }
});

test("a peer that left before its request got here is not waited for", async () => {
  const upstream = await startUpstream(() => undefined);
  const front = await startFront(upstream.url, {
    before: async (response) => {
      if (!response.closed) await once(response, "close");
    },
  });
  cleanups.push(upstream.close, front.close);
  const peer = raw(front, GET);
  await once(peer.socket, "connect");
  peer.socket.end();
  const { stream } = h2(front).open({ ":path": "/" });
  stream.on("ready", () => {
    stream.close(8);
  });
  expect(await front.ended(2)).toMatchObject({ status: 499, ended_by: "peer" });
});

describe("a body that comes to a halt", () => {
  const HALF = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello";

  test("is given up with 408, at the upstream as a cut one", async () => {
    let isWhole = false;
    let isGone = false;
    const front = await serve(
      (request) => {
        request.resume().on("end", () => {
          isWhole = true;
        });
        request
          .on("error", () => undefined)
          .on("close", () => {
            isGone = true;
          });
      },
      { limits: { bodyIdleTimeoutMs: 100 } },
    );
    const peer = raw(front, HALF);
    const { stream, answer } = h2(front).open({ ":path": "/", ":method": "POST" }, false);
    stream.write("hello");
    await peer.sees("408 ");
    await until(() => answer.status === 408);
    await until(() => isGone);
    expect(isWhole).toBe(false);
    expect(await front.ended()).toMatchObject({ status: 408, reason: "body_stalled" });
  });

  test("but not once the upstream has begun to answer, nor when it is the upstream that does not read", async () => {
    const front = await serve(
      (request, response) => {
        if (request.url === "/deaf") return;
        response.writeHead(200, EVENT_STREAM).flushHeaders();
        request.on("data", (chunk: Buffer) => response.write(chunk)).on("end", () => response.end());
      },
      { limits: { bodyIdleTimeoutMs: 100 } },
    );
    const deaf = raw(front, HALF.replace("POST /", "POST /deaf").replace("10", "100000000"));
    const more = (): void => {
      while (!deaf.isClosed && deaf.socket.write(Buffer.alloc(65_536)));
    };
    deaf.socket.on("drain", more);
    more();
    const peer = raw(front, HALF);
    await peer.sees("hello");
    const began = performance.now();
    await until(() => performance.now() > began + 300);
    peer.send("world");
    await peer.sees("world");
    await peer.sees("\r\n0\r\n\r\n");
    expect(deaf.text).toBe("");
  });
});
