import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import * as http from "node:http";
import * as https from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "@jest/globals";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { until } from "@gatehouse/testbed/until";
import {
  ask,
  H2Peer,
  portOf,
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

async function serve(listener: http.RequestListener, options: FrontOptions = {}): Promise<Front> {
  const upstream = await startUpstream(listener);
  const front = await startFront(upstream.url, options);
  cleanups.push(upstream.close, front.close);
  return front;
}

async function serveRaw(
  onConnection: Parameters<typeof startRawUpstream>[0],
  options: FrontOptions = {},
): Promise<{ front: Front; upstream: Awaited<ReturnType<typeof startRawUpstream>> }> {
  const upstream = await startRawUpstream(onConnection);
  const front = await startFront(upstream.url, options);
  cleanups.push(upstream.close, front.close);
  return { front, upstream };
}

function h2(front: Front): H2Peer {
  const peer = new H2Peer(front.h2Port);
  cleanups.push(() => {
    peer.close();
  });
  return peer;
}

function raw(front: Front, send?: string | Buffer): RawPeer {
  const peer = new RawPeer(front.h1Port, send);
  cleanups.push(() => peer.socket.destroy());
  return peer;
}

describe("a response passes unchanged", () => {
  test("status, reason, order, letter case, duplicates and Set-Cookie on HTTP/1.1", async () => {
    const { front } = await serveRaw((socket) => {
      socket.on("data", () =>
        socket.write(
          "HTTP/1.1 299 Odd But Fine\r\nX-Zeta: 1\r\nSet-Cookie: a=1;Path=/\r\nx-Alpha: 2\r\nSet-Cookie: b=2\r\nX-Zeta: 3\r\nX-Latin: \xe9\r\nContent-Length: 2\r\n\r\nok",
          "latin1",
        ),
      );
    });
    const answer = await ask(front.h1Port);
    expect(answer.status).toBe(299);
    expect(answer.message).toBe("Odd But Fine");
    const expected =
      "X-Zeta 1 Set-Cookie a=1;Path=/ x-Alpha 2 Set-Cookie b=2 X-Zeta 3 X-Latin \xe9 Content-Length 2";
    expect(answer.rawHeaders.slice(0, 14)).toEqual(expected.split(" "));
    expect(answer.body.toString()).toBe("ok");
  });

  test("repeated fields on HTTP/2", async () => {
    const front = await serve((_request, response) => {
      response.writeHead(200, [
        "Set-Cookie",
        "a=1",
        "X-Two",
        "1",
        "Set-Cookie",
        "b=2",
        "X-Two",
        "2",
        "Connection",
        "keep-alive",
      ]);
      response.end("ok");
    });
    const answer = await h2(front).ask({ ":path": "/" });
    expect(answer.status).toBe(200);
    expect(answer.headers["set-cookie"]).toEqual(["a=1", "b=2"]);
    expect(answer.headers["x-two"]).toBe("1, 2");
    expect(answer.headers).not.toHaveProperty("connection");
    expect(answer.body).toBe("ok");
  });

  test("a compressed body stays compressed", async () => {
    const packed = gzipSync("hello hello hello");
    const front = await serve((_request, response) => {
      response.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length });
      response.end(packed);
    });
    const answer = await ask(front.h1Port, { headers: { "accept-encoding": "gzip" } });
    expect(answer.headers["content-encoding"]).toBe("gzip");
    expect(answer.body.equals(packed)).toBe(true);
  });

  test.each([
    [202, ""],
    [400, '{"jsonrpc":"2.0","error":{"code":-32600}}'],
    [404, '{"jsonrpc":"2.0","error":{"code":-32601}}'],
    [405, '{"jsonrpc":"2.0","error":{"code":-32000}}'],
    [500, "upstream's own words"],
  ])("%i with the upstream's own body", async (status, body) => {
    const front = await serve((request, response) => {
      request.resume();
      response.writeHead(status, { "content-type": "application/json" }).end(body);
    });
    const h1 = await ask(front.h1Port, { method: "POST", path: "/mcp", body: "{}" });
    expect([h1.status, h1.body.toString()]).toEqual([status, body]);
    const two = await h2(front).ask({ ":path": "/mcp", ":method": "POST" }, "{}");
    expect([two.status, two.body]).toEqual([status, body]);
  });

  test.each(["HEAD", "GET"])("%s without a body keeps the length it tells", async (method) => {
    const front = await serve((_request, response) => {
      response.writeHead(method === "GET" ? 304 : 200, { "content-length": "1234", etag: '"x"' }).end();
    });
    const one = await ask(front.h1Port, { method });
    expect([one.headers["content-length"], one.headers.etag, one.body.length]).toEqual(["1234", '"x"', 0]);
    const two = await h2(front).ask({ ":path": "/", ":method": method });
    expect([two.headers["content-length"], two.body, two.code]).toEqual(["1234", "", 0]);
  });

  test("204 has no body and no length", async () => {
    const { front } = await serveRaw((socket) => {
      socket.on("data", () => socket.write("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"));
    });
    const peer = raw(
      front,
      "GET / HTTP/1.1\r\nHost: app.example\r\n\r\nGET /2 HTTP/1.1\r\nHost: app.example\r\n\r\n",
    );
    await until(() => peer.text.split("204 No Content").length === 3);
    expect(peer.text).not.toMatch(/content-length|transfer-encoding/i);
    expect((await h2(front).ask({ ":path": "/" })).status).toBe(204);
  });

  test("103 Early Hints on both protocols, not for HTTP/1.0 (RFC 9110 section 15.2)", async () => {
    const front = await serve((_request, response) => {
      response.writeEarlyHints({ link: "</a.css>; rel=preload" }, () => response.end("done"));
    });
    const peer = raw(front, "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n");
    await peer.closed();
    expect(peer.text).toMatch(
      /^HTTP\/1.1 103 Early Hints\r\nLink: <\/a.css>; rel=preload\r\n\r\nHTTP\/1.1 200 OK\r\n/i,
    );
    const two = await h2(front).ask({ ":path": "/" });
    expect(two.info.map((info) => [info[":status"], info["link"]])).toEqual([[103, "</a.css>; rel=preload"]]);
    const old = raw(front, "GET / HTTP/1.0\r\nHost: app.example\r\n\r\n");
    await old.closed();
    expect(old.text).toMatch(/^HTTP\/1.1 200 OK/);
  });

  test("announced trailers on both protocols", async () => {
    const front = await serve((_request, response) => {
      response.writeHead(200, { trailer: "X-Sum, Connection" });
      response.write("body");
      response.addTrailers({ "X-Sum": "42", Connection: "x" });
      response.end();
    });
    const peer = raw(
      front,
      "GET / HTTP/1.1\r\nHost: app.example\r\nTE: trailers\r\nConnection: close\r\n\r\n",
    );
    await peer.closed();
    expect(peer.text).toContain("\r\n0\r\nX-Sum: 42\r\n\r\n");
    const two = await h2(front).ask({ ":path": "/", te: "trailers" });
    expect([two.body, two.trailers?.["x-sum"], two.isEnded]).toEqual(["body", "42", true]);
    // A peer that can't be sent trailers gets the body all the same.
    const old = raw(front, "GET / HTTP/1.0\r\nHost: app.example\r\n\r\n");
    await old.closed();
    expect(old.text).toMatch(/\r\n\r\nbody$/);
  });
});

describe("a request passes unchanged", () => {
  test.each([
    "/",
    "/mcp",
    "/a%20b/%E2%9C%93?x=%2F..%2F&y=a+b&z[]=1",
    "/group%2Fproject//x;v=1/@me/~user/%7Eother/caf%c3%a9?",
    '/a\'b(c)*!$&,=:|?q={"a"}|b',
  ])("the target %s, octet for octet", async (path) => {
    const seen: (string | undefined)[] = [];
    const front = await serve((request, response) => {
      seen.push(request.url);
      response.end();
    });
    await ask(front.h1Port, { path });
    await h2(front).ask({ ":path": path });
    expect(seen).toEqual([path, path]);
    expect((await front.ended()).path).toBe(path.replace(/\?.*/, ""));
  });

  test("below the base path of the upstream", async () => {
    const seen: (string | undefined)[] = [];
    const upstream = await startUpstream((request, response) => {
      seen.push(request.url);
      response.end();
    });
    const front = await startFront(`${upstream.url}/base/`);
    cleanups.push(upstream.close, front.close);
    await ask(front.h1Port, { path: "/x?y" });
    await ask(front.h1Port, { path: "http://app.example:8443/z" });
    expect(seen).toEqual(["/base/x?y", "/base/z"]);
  });

  test.each([
    "/a/../b",
    "/%2e%2e/b",
    "/a/%2E./b",
    "/a%2f..%2fb",
    "/a%5c..%5cb",
    "/a\\b",
    "/100%",
    "/a%00",
    "/a#b",
  ])("but a target with two readings is refused: %s", async (path) => {
    const seen: unknown[] = [];
    const front = await serve((request, response) => {
      seen.push(request.url);
      response.end();
    });
    const peer = raw(front, `GET ${path} HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n`);
    await peer.closed();
    expect(peer.text).toMatch(/^HTTP\/1.1 400 /);
    expect((await h2(front).ask({ ":path": path })).status).toBe(400);
    expect(seen).toEqual([]);
  });

  test("a body with length keeps it, one without is chunked, never both", async () => {
    const { front, upstream } = await serveRaw((socket) => {
      socket.on("data", (chunk) => {
        if (/hello(?:\r\n0\r\n\r\n)?$/.test(chunk.toString()))
          socket.write("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
      });
    });
    await ask(front.h1Port, { method: "POST", headers: { "content-length": "5" }, body: "hello" });
    raw(front, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    await front.ended(2);
    const { stream } = h2(front).open({ ":path": "/", ":method": "POST" }, false);
    stream.end("hello");
    await front.ended(3);
    const all = upstream.received.join("").split(/(?=POST )/);
    expect(all).toHaveLength(3);
    expect(all[0]).toMatch(/content-length: 5\r\n\r\nhello$/);
    expect(all[0]).not.toMatch(/transfer-encoding/i);
    for (const text of all.slice(1)) {
      expect(text).toMatch(/transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n$/);
      expect(text).not.toMatch(/content-length/i);
    }
  });

  test.each(["POST", "DELETE", "GET"])("%s without a body", async (method) => {
    const seen: http.IncomingHttpHeaders[] = [];
    const front = await serve((request, response) => {
      seen.push(request.headers);
      response.end("ok");
    });
    expect(
      (await ask(front.h1Port, { method, headers: method === "POST" ? { "content-length": "0" } : {} }))
        .status,
    ).toBe(200);
    expect((await h2(front).ask({ ":path": "/", ":method": method })).status).toBe(200);
    for (const headers of seen) expect(headers).not.toHaveProperty("transfer-encoding");
  });

  test("32 MiB each way arrive bit for bit on both protocols, streamed", async () => {
    const size = 32 * 1024 * 1024;
    const block = randomBytes(1024 * 1024);
    const front = await serve((request, response) => {
      response.writeHead(200, { "content-length": String(size) });
      request.pipe(response);
    });
    const expected = createHash("sha256");
    for (let i = 0; i < 32; i++) expected.update(block);
    const digest = expected.digest("hex");
    const one = http.request({
      host: "127.0.0.1",
      port: front.h1Port,
      method: "PUT",
      headers: { host: "app.example" },
    });
    const two = h2(front).open({ ":path": "/", ":method": "PUT" }, false).stream;
    for (const stream of [one, two]) {
      const hash = createHash("sha256");
      const source =
        stream === one
          ? ((await Promise.all([once(one, "response"), feed(one, block)]))[0][0] as http.IncomingMessage)
          : two;
      if (stream === two) void feed(two, block);
      for await (const chunk of source) hash.update(chunk as Buffer);
      expect(hash.digest("hex")).toBe(digest);
    }
    expect((await front.ended(2)).bytes_in).toBe(size);
    expect((await front.ended(2)).bytes_out).toBe(size);
  });
});

async function feed(stream: NodeJS.WritableStream, block: Buffer): Promise<void> {
  // The first octets must go out before the response can begin; the rest follows while it is read.
  const rest = async (): Promise<void> => {
    for (let i = 1; i < 32; i++) if (!stream.write(block)) await once(stream, "drain");
    stream.end();
  };
  stream.write(block);
  await Promise.resolve();
  void rest();
}

describe("upstreams", () => {
  test("a unix socket", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gh-"));
    const path = join(directory, "up.sock");
    const upstream = await startUpstream((request, response) => response.end(request.headers.host), { path });
    const front = await startFront(`unix:${path}`);
    cleanups.push(() => rm(directory, { recursive: true }), upstream.close, front.close);
    expect((await ask(front.h1Port)).body.toString()).toBe("localhost");
    expect((await front.ended()).upstream).toBe(`unix:${path}`);
  });

  test("https is verified: by a private authority when it is given, by the upstream's own name always", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gh-"));
    const authority = await createCertificateAuthority(directory);
    const good = await authority.issue(["127.0.0.1"]);
    const other = await authority.issue(["app.example"]);
    const start = async (cert: { certPem: string; keyPem: string }): Promise<string> => {
      const server = https.createServer({ cert: cert.certPem, key: cert.keyPem }, (request, response) =>
        response.end(request.headers.host),
      );
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      cleanups.push(() => {
        server.closeAllConnections();
        server.close();
      });
      return `https://127.0.0.1:${portOf(server)}`;
    };
    cleanups.push(() => rm(directory, { recursive: true }));
    const url = await start(good);
    const front = await startFront(url, { fields: { target_ca_pem: authority.caPem } });
    cleanups.push(front.close);
    expect((await ask(front.h1Port)).body.toString()).toBe(url.slice(8));
    // The host named by the peer is neither SNI nor what the certificate must say.
    front.configure(url, { target_ca_pem: authority.caPem, preserve_host_header: true });
    expect((await ask(front.h1Port)).body.toString()).toBe("app.example");
    front.configure(url);
    expect((await ask(front.h1Port)).status).toBe(502);
    expect((await front.ended(3)).reason).toBe("tls");
    front.configure(await start(other), { target_ca_pem: authority.caPem, preserve_host_header: true });
    expect((await ask(front.h1Port)).status).toBe(502);
    expect((await front.ended(4)).reason).toBe("tls");
  });

  test("connections are kept and used again, one exchange at a time; a stream stands in nobody's way", async () => {
    const ports = new Set<number | undefined>();
    const front = await serve((request, response) => {
      ports.add(request.socket.remotePort);
      if (request.url === "/stream")
        response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
      else response.end("ok");
    });
    for (let i = 0; i < 5; i++) await ask(front.h1Port);
    expect(ports.size).toBe(1);
    const peer = h2(front);
    const streams = Array.from({ length: 50 }, () => peer.open({ ":path": "/stream" }));
    await until(() => streams.every(({ answer }) => answer.status === 200));
    expect((await peer.ask({ ":path": "/" })).body).toBe("ok");
  });

  test("beyond the connection limit a request is answered 503 at once", async () => {
    const front = await serve(
      (_request, response) => response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders(),
      { limits: { maxUpstreamConnections: 2 } },
    );
    const peer = h2(front);
    const streams = [peer.open({ ":path": "/" }), peer.open({ ":path": "/" })];
    await until(() => streams.every(({ answer }) => answer.status === 200));
    const refused = await peer.ask({ ":path": "/" });
    expect([refused.status, refused.headers["retry-after"]]).toEqual([503, "5"]);
    streams.at(0)?.stream.close();
    await front.ended(2);
    const next = peer.open({ ":path": "/" });
    await until(() => next.answer.status === 200);
  });

  test("a new config takes the next request elsewhere and leaves what runs alone", async () => {
    const first = await startUpstream((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: first\n\n");
      setTimeout(() => response.write("data: second\n\n"), 100);
    });
    const second = await startUpstream((_request, response) => response.end("new"));
    const front = await startFront(first.url);
    cleanups.push(first.close, second.close, front.close);
    const stream = raw(front, "GET / HTTP/1.1\r\nHost: app.example\r\n\r\n");
    await stream.sees("data: first");
    front.configure(second.url);
    expect((await ask(front.h1Port)).body.toString()).toBe("new");
    await stream.sees("data: second");
    expect(() => {
      front.configure("https://127.0.0.1:1", {
        target_ca_pem: "-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----",
      });
    }).toThrow(/PEM|asn1/i);
    expect((await ask(front.h1Port)).body.toString()).toBe("new");
  });
});

describe("refusals of our own", () => {
  test("Origin is looked at only where allowed_origins is set", async () => {
    const front = await serve((_request, response) => {
      response.setHeader("Access-Control-Allow-Origin", "*");
      response.end();
    });
    const evil = { headers: { origin: "https://evil.example" } };
    expect((await ask(front.h1Port, evil)).headers["access-control-allow-origin"]).toBe("*");
    const upstream = (await front.ended()).upstream ?? "";
    front.configure(upstream, { allowed_origins: ["https://good.example"] });
    expect((await ask(front.h1Port, evil)).status).toBe(403);
    expect((await ask(front.h1Port, { headers: { origin: "null" } })).status).toBe(403);
    expect((await ask(front.h1Port, { headers: { origin: "https://good.example" } })).status).toBe(200);
    expect((await ask(front.h1Port)).status).toBe(200);
    const own = { host: "App.Example:8443", origin: "https://app.example:8443" };
    expect((await ask(front.h1Port, { headers: own })).status).toBe(200);
    const two = raw(
      front,
      "GET / HTTP/1.1\r\nHost: a\r\nOrigin: https://good.example\r\nOrigin: https://evil.example\r\nConnection: close\r\n\r\n",
    );
    await two.closed();
    expect(two.text).toMatch(/^HTTP\/1.1 403 /);
  });

  test("TRACE is 405, a target that names another host 421, `*` 400", async () => {
    const front = await serve((_request, response) => response.end());
    expect((await ask(front.h1Port, { method: "TRACE" })).status).toBe(405);
    expect((await ask(front.h1Port, { path: "http://other.example/" })).status).toBe(421);
    expect((await ask(front.h1Port, { path: "*", method: "OPTIONS" })).status).toBe(400);
  });

  test("a body over the limit is 413: by its length before the upstream sees it, by its octets while it streams", async () => {
    let begun = 0;
    const front = await serve(
      (request, response) => {
        begun++;
        request.resume().on("end", () => response.end("ok"));
      },
      { limits: { maxBodyBytes: 1000 } },
    );
    expect((await ask(front.h1Port, { method: "POST", body: Buffer.alloc(1000) })).status).toBe(200);
    expect((await ask(front.h1Port, { method: "POST", body: Buffer.alloc(1001) })).status).toBe(413);
    expect(begun).toBe(1);
    expect(
      (await h2(front).ask({ ":path": "/", ":method": "POST", "content-length": 1001 }, Buffer.alloc(1001)))
        .status,
    ).toBe(413);
    expect(begun).toBe(1);
    expect((await h2(front).ask({ ":path": "/", ":method": "POST" }, Buffer.alloc(200_000))).status).toBe(
      413,
    );
    // The connection still works: what was left of the body was read away.
    const peer = raw(
      front,
      `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n${"x".repeat(2000)}\r\n`,
    );
    await peer.sees("413 ");
    peer.send("0\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    await peer.sees("200 OK");
  });
});
