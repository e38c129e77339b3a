import { once } from "node:events";
import * as http from "node:http";
import * as https from "node:https";
import { mkdtemp, rm } from "node:fs/promises";
import type { Duplex } from "node:stream";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { WebSocket, WebSocketServer } from "ws";
import { until } from "@gatehouse/testbed/until";
import {
  portOf,
  RawPeer,
  startFront,
  startRawUpstream,
  type Front,
  type FrontOptions,
} from "./forward-harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const HANDSHAKE = [
  "GET /ws?token=x HTTP/1.1",
  "Host: App.Example:8443",
  "Connection: keep-alive, Upgrade",
  "Upgrade: websocket",
  "Sec-WebSocket-Version: 13",
  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
];
const SWITCHING =
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n";

function handshake(...lines: string[]): string {
  return `${[...HANDSHAKE, ...lines].join("\r\n")}\r\n\r\n`;
}

async function front(url: string, options?: FrontOptions): Promise<Front> {
  const started = await startFront(url, options);
  cleanups.push(started.close);
  return started;
}

async function rawUpstream(
  ...args: Parameters<typeof startRawUpstream>
): ReturnType<typeof startRawUpstream> {
  const upstream = await startRawUpstream(...args);
  cleanups.push(upstream.close);
  return upstream;
}

function raw(at: Front, text: string | Buffer): RawPeer {
  const peer = new RawPeer(at.h1Port, text);
  cleanups.push(() => peer.socket.destroy());
  return peer;
}

/** A WebSocket server that echoes, on whatever server it is given. */
function echo(server: http.Server | https.Server): string[] {
  const seen: string[] = [];
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (socket, request) => {
    seen.push(
      `${request.url ?? ""} ${request.headers.host ?? ""} ${String(request.headers["x-forwarded-for"])}`,
    );
    socket.on("message", (data, isBinary) => {
      socket.send(data, { binary: isBinary });
    });
  });
  cleanups.push(() => {
    for (const client of sockets.clients) client.terminate();
    server.close();
    server.closeAllConnections();
  });
  return seen;
}

async function roundTrip(at: Front, path: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${at.h1Port}${path}`);
  cleanups.push(() => {
    socket.terminate();
  });
  await once(socket, "open");
  socket.send("hello");
  const [message] = (await once(socket, "message")) as [Buffer];
  socket.close();
  await once(socket, "close");
  return message.toString();
}

test("messages travel both ways over http, a base path, a unix socket and verified https", async () => {
  const directory = await mkdtemp(join(tmpdir(), "gh-"));
  cleanups.push(() => rm(directory, { recursive: true }));
  const authority = await createCertificateAuthority(directory);
  const { certPem, keyPem } = await authority.issue(["127.0.0.1"]);
  const plain = http.createServer().listen(0, "127.0.0.1");
  const unix = http.createServer().listen(join(directory, "ws.sock"));
  const secure = https.createServer({ cert: certPem, key: keyPem }).listen(0, "127.0.0.1");
  await Promise.all([plain, unix, secure].map((server) => once(server, "listening")));
  const seen = [echo(plain), echo(unix), echo(secure)];
  const at = await front(`http://127.0.0.1:${portOf(plain)}/base`);
  const path = "/a%2fb//c/%7e|x?q={1}&r=%20";
  expect(await roundTrip(at, path)).toBe("hello");
  expect(seen[0]).toEqual([`/base${path} 127.0.0.1:${portOf(plain)} 192.0.2.7`]);
  expect(await at.ended()).toMatchObject({ status: 101, method: "GET", path: "/a%2fb//c/%7e|x" });
  at.configure(`unix:${join(directory, "ws.sock")}`);
  expect(await roundTrip(at, "/u")).toBe("hello");
  expect(seen[1]).toEqual(["/u localhost 192.0.2.7"]);
  // The host the peer named goes out as Host, and is neither SNI nor what the certificate must say.
  at.configure(`https://127.0.0.1:${portOf(secure)}`, {
    target_ca_pem: authority.caPem,
    preserve_host_header: true,
  });
  expect(await roundTrip(at, "/s")).toBe("hello");
  expect(seen[2]).toEqual([`/s 127.0.0.1:${at.h1Port} 192.0.2.7`]);
  at.configure(`https://127.0.0.1:${portOf(secure)}`);
  const refused = raw(at, handshake());
  await refused.closed();
  expect(refused.text).toMatch(/^HTTP\/1.1 502 /);
  expect((await at.ended(4)).reason).toBe("tls");
});

describe("the upgrade request", () => {
  test("holds nothing a peer may not say, with Expect or without, and no other hop-by-hop field (findings 2, 4, 6)", async () => {
    const upstream = await rawUpstream((socket) => socket.once("data", () => socket.write(SWITCHING)));
    const at = await front(upstream.url);
    const peer = raw(
      at,
      handshake(
        "Expect: 100-continue",
        "X-Auth-User: evil\r\nx_auth_user: evil\r\nForwarded: for=evil",
        "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Host: evil",
        "Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: gzip",
        "Proxy-Authorization: x\r\nHTTP2-Settings: x",
        "Sec-WebSocket-Protocol: mcp\r\nCookie: a=1\r\nAuthorization: Bearer t",
        "Origin: https://x.example\r\nX-Two: 1\r\nX-Two: 2",
      ),
    );
    await peer.sees("101 Switching Protocols");
    const text = upstream.received[0] ?? "";
    expect(text).toMatch(/^GET \/ws\?token=x HTTP\/1.1\r\n/);
    expect(text).not.toMatch(/evil|expect|x-hop|keep-alive|\nte:|proxy|http2|1\.2\.3\.4/i);
    expect(text).toMatch(/\r\nx-forwarded-for: 192\.0\.2\.7\r\n/i);
    expect(text).toMatch(/\r\nx-forwarded-host: App\.Example:8443\r\n/i);
    for (const line of [
      "connection: upgrade",
      "upgrade: websocket",
      "sec-websocket-protocol: mcp",
      "cookie: a=1",
      "authorization: bearer t",
      "x-two: 1",
      "x-two: 2",
    ]) {
      expect(text.toLowerCase()).toContain(`\r\n${line}\r\n`);
    }
  });

  test("to anything but WebSocket is an ordinary request (RFC 9110 section 7.8)", async () => {
    const upstream = await rawUpstream((socket) =>
      socket.on("data", () => socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
    );
    const at = await front(upstream.url);
    for (const [protocol, connection] of [
      ["h2c", "Upgrade, HTTP2-Settings"],
      ["websocket, h2c", "Upgrade"],
      ["websocket", "close"],
    ] as const) {
      const peer = raw(
        at,
        `GET / HTTP/1.1\r\nHost: a\r\nConnection: ${connection}\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: x\r\n\r\n`,
      );
      await peer.sees("\r\n\r\nok");
      expect(peer.text).toMatch(/^HTTP\/1.1 200 OK/);
    }
    expect(upstream.received.join("")).not.toMatch(/upgrade|settings/i);
  });

  test("is held to the same admission: target, origin", async () => {
    const at = await front("http://127.0.0.1:1", { fields: { allowed_origins: ["https://good.example"] } });
    const evil = raw(at, handshake("Origin: https://evil.example"));
    await evil.closed();
    expect(evil.text).toMatch(/^HTTP\/1.1 403 /);
    const dots = raw(at, handshake().replace("/ws", "/a/../ws"));
    await dots.closed();
    expect(dots.text).toMatch(/^HTTP\/1.1 400 /);
    expect((await at.ended(2)).status).toBe(400);
  });
});

describe("an upstream that does not upgrade", () => {
  test("refused: 502, not a hang", async () => {
    const at = await front("http://127.0.0.1:1");
    const peer = raw(at, handshake());
    await peer.closed();
    expect(peer.text).toMatch(/^HTTP\/1.1 502 [\s\S]*"bad_gateway"/);
    expect(await at.ended()).toMatchObject({ status: 502, reason: "connect" });
  });

  test("closes without a word: 502", async () => {
    const upstream = await rawUpstream((socket) => socket.once("data", () => socket.end()));
    const at = await front(upstream.url);
    const peer = raw(at, handshake());
    await peer.closed();
    expect(peer.text).toMatch(/^HTTP\/1.1 502 /);
    expect((await at.ended()).reason).toBe("reset");
  });

  test("answers otherwise: passed on whole, with its repeated fields", async () => {
    const upstream = await rawUpstream((socket) =>
      socket.once("data", () =>
        socket.write(
          "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        ),
      ),
    );
    const at = await front(upstream.url);
    const peer = raw(at, handshake());
    await peer.closed();
    expect(peer.text).toMatch(
      /^HTTP\/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n/,
    );
    expect(peer.text).toMatch(/\r\n2\r\nno\r\n0\r\n\r\n$/);
    expect(peer.text).not.toMatch(/keep-alive: 5/i);
    expect(await at.ended()).toMatchObject({ status: 401, bytes_out: 2 });
  });

  test("answers otherwise and is cut off: cut off at the peer too (finding 3)", async () => {
    const upstream = await rawUpstream((socket) =>
      socket.once("data", () =>
        socket.end("HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nhalf"),
      ),
    );
    const at = await front(upstream.url);
    const peer = raw(at, handshake());
    await peer.closed();
    expect(peer.text).toContain("half");
    expect(peer.text).not.toContain("0\r\n\r\n");
    expect(await at.ended()).toMatchObject({ status: 400, reason: "reset" });
  });
});

describe("an open WebSocket", () => {
  async function open(): Promise<{
    at: Front;
    peer: RawPeer;
    upstream: Awaited<ReturnType<typeof startRawUpstream>>;
    socket: Duplex;
  }> {
    const upstream = await rawUpstream((socket) =>
      socket.once("data", () => socket.write(`${SWITCHING}early`)),
    );
    const at = await front(upstream.url);
    const peer = raw(at, handshake());
    await peer.sees("early");
    const socket = upstream.sockets[0];
    if (socket === undefined) throw new Error("no upstream connection");
    return { at, peer, upstream, socket };
  }

  test("passes octets sent with the handshake", async () => {
    const upstream = await rawUpstream((socket) => socket.once("data", () => socket.write(SWITCHING)));
    const at = await front(upstream.url);
    raw(at, `${handshake()}head`);
    await until(() => (upstream.received[0] ?? "").endsWith("\r\n\r\nhead"));
  });

  test.each(["end", "destroy", "resetAndDestroy"] as const)(
    "is closed at the upstream when the peer leaves: %s",
    async (how) => {
      const { at, peer, socket } = await open();
      peer.socket[how]();
      await until(() => socket.readableEnded || socket.destroyed);
      expect(await at.ended()).toMatchObject({ status: 101, ended_by: "peer" });
    },
  );

  test.each(["end", "destroy", "resetAndDestroy"] as const)(
    "is closed at the peer when the upstream leaves: %s",
    async (how) => {
      const { at, peer, upstream } = await open();
      upstream.sockets[0]?.[how]();
      await peer.closed();
      expect(await at.ended()).toMatchObject({ status: 101, ended_by: "upstream" });
    },
  );

  test("is ended by endStreams", async () => {
    const { at, peer, socket } = await open();
    at.forwarder.endStreams();
    await peer.closed();
    await until(() => socket.readableEnded || socket.destroyed);
    expect(await at.ended()).toMatchObject({ status: 101, ended_by: "gateway" });
  });

  test("stops a side whose other side does not read", async () => {
    const { peer, socket } = await open();
    peer.socket.removeAllListeners("data").pause();
    const block = Buffer.alloc(65_536);
    let written = 0;
    const more = (): void => {
      do written += block.length;
      while (written < 256 * 1024 * 1024 && socket.write(block));
    };
    socket.on("drain", more);
    more();
    let last = -1;
    let still = 0;
    await until(() => {
      still = written === last ? still + 1 : 0;
      last = written;
      return still > 100;
    });
    expect(written).toBeLessThan(64 * 1024 * 1024);
  });
});
