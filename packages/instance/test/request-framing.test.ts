import type { Socket } from "node:net";
import { afterEach, describe, expect, test } from "@jest/globals";
import { until } from "@gatehouse/testbed/until";
import { RawPeer, startFront, startRawUpstream, startUpstream, type Front } from "./forward-harness.ts";

// Each title names a finding about http-proxy-3's web path (ADR forwarder choice): that path is not used, and these hold what is.

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const SMUGGLED = "GET /admin HTTP/1.1\r\nHost: a\r\nX-Auth-User: root\r\n\r\n";

/** An upstream that keeps what each request was, as a server understood it. */
async function parsed(): Promise<{ front: Front; requests: string[] }> {
  const requests: string[] = [];
  const upstream = await startUpstream((request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => {
      body += chunk.toString();
    });
    request.on("end", () => {
      requests.push(
        `${request.method ?? ""} ${request.url ?? ""} ${String(request.headers["x-auth-user"])} ${body}`,
      );
      response.end("ok");
    });
  });
  const front = await startFront(upstream.url);
  cleanups.push(upstream.close, front.close);
  return { front, requests };
}

function raw(front: Front, text: string): RawPeer {
  const peer = new RawPeer(front.h1Port, text);
  cleanups.push(() => peer.socket.destroy());
  return peer;
}

function chunked(text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n0\r\n\r\n`;
}

describe("request smuggling", () => {
  test.each(["DELETE", "OPTIONS", "GET", "POST", "PUT"])(
    "1: a chunked body of %s stays a body",
    async (method) => {
      const { front, requests } = await parsed();
      // The upstream's connection is a kept one, as an attack would have it.
      const peer = raw(front, "GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
      await peer.sees("ok");
      peer.send(`${method} /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunked(SMUGGLED)}`);
      await until(() => requests.length >= 2);
      peer.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
      await peer.closed();
      expect(requests).toEqual([
        "GET /first undefined ",
        `${method} /x undefined ${SMUGGLED}`,
        "GET /last undefined ",
      ]);
    },
  );

  test.each(["DELETE", "GET"])("1: a body of %s with a length stays a body", async (method) => {
    const { front, requests } = await parsed();
    const peer = raw(
      front,
      `${method} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${SMUGGLED.length}\r\n\r\n${SMUGGLED}`,
    );
    await peer.closed();
    expect(requests).toEqual([`${method} /x undefined ${SMUGGLED}`]);
  });

  test.each([
    ["length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked"],
    ["two lengths", "Content-Length: 5\r\nContent-Length: 6"],
    ["chunks that are not last", "Transfer-Encoding: chunked, identity"],
    ["a length with a sign", "Content-Length: +5"],
    ["a space before the colon", "Transfer-Encoding : chunked"],
    ["an obsolete fold", "X-A: b\r\n Transfer-Encoding: chunked"],
  ])("%s: nothing reaches the upstream as a second request", async (_what, lines) => {
    const { front, requests } = await parsed();
    const peer = raw(front, `POST / HTTP/1.1\r\nHost: a\r\n${lines}\r\n\r\n0\r\n\r\n${SMUGGLED}`);
    await peer.closed();
    expect(requests.join("\n")).not.toContain("GET /admin");
  });

  test("2: Expect changes nothing about what is removed, and does not travel", async () => {
    const { front, requests } = await parsed();
    const peer = raw(
      front,
      "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nX-Auth-User: evil\r\nConnection: close\r\nContent-Length: 2\r\n\r\n",
    );
    await peer.sees("100 Continue");
    peer.send("hi");
    await peer.closed();
    expect(requests).toEqual(["POST / undefined hi"]);
  });
});

test("3: an upstream that is cut off mid-body does not leave the peer waiting", async () => {
  const upstream = await startRawUpstream((socket: Socket) => {
    socket.once("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
  });
  const front = await startFront(upstream.url);
  cleanups.push(upstream.close, front.close);
  const peer = raw(front, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await peer.closed();
  expect(peer.text).toMatch(/half$/);
});

test("7: redirects, cookies and compressed bodies are the peer's business; the environment can't change that", async () => {
  process.env["FORCE_FETCH_PATH"] = "true";
  process.env["UNDICI_USE_MILO"] = "1";
  cleanups.push(() => {
    delete process.env["FORCE_FETCH_PATH"];
    delete process.env["UNDICI_USE_MILO"];
  });
  const upstream = await startUpstream((_request, response) => {
    response.writeHead(302, [
      "Location",
      "/elsewhere",
      "Set-Cookie",
      "a=1",
      "Set-Cookie",
      "b=2",
      "Content-Encoding",
      "gzip",
    ]);
    response.end("not really gzip");
  });
  const front = await startFront(upstream.url);
  cleanups.push(upstream.close, front.close);
  const peer = raw(front, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await peer.closed();
  expect(peer.text).toMatch(
    /^HTTP\/1.1 302 Found\r\nLocation: \/elsewhere\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Encoding: gzip\r\n/,
  );
  expect(peer.text).toContain("not really gzip");
});

test("an upstream's unasked answer on an idle connection is nobody's answer", async () => {
  const upstream = await startRawUpstream((socket, count) => {
    socket.on("data", () => {
      socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmine");
      if (count === 1) setTimeout(() => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), 20);
    });
  });
  const front = await startFront(upstream.url);
  cleanups.push(upstream.close, front.close);
  const peer = raw(front, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await peer.sees("mine");
  await until(() => upstream.sockets.at(0)?.closed === true);
  peer.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  await peer.closed();
  expect(peer.text).not.toContain("evil");
});
