import { afterEach, describe, expect, test } from "@jest/globals";
import { ownOrigin } from "../src/request-context.ts";
import { nextTraceparent } from "../src/trace-context.ts";
import { readRequestFields } from "../src/upstream-request.ts";
import {
  H2Peer,
  RawPeer,
  startFront,
  startUpstream,
  type Front,
  type FrontOptions,
} from "./forward-harness.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A front whose upstream keeps the raw headers and trailers of every request. */
async function observe(
  options: FrontOptions = {},
): Promise<{ front: Front; seen: string[][]; trailers: string[][] }> {
  const seen: string[][] = [];
  const trailers: string[][] = [];
  const upstream = await startUpstream((request, response) => {
    seen.push(request.rawHeaders);
    request.resume().on("end", () => {
      trailers.push(request.rawTrailers);
      response.end("ok");
    });
  });
  const front = await startFront(upstream.url, options);
  cleanups.push(upstream.close, front.close);
  return { front, seen, trailers };
}

/** Sends one raw request and waits for its answer. */
async function send(front: Front, lines: string[], body = ""): Promise<string> {
  const head = ["GET / HTTP/1.1", "Host: App.Example:8443", "Connection: close", ...lines];
  const [first = "", ...rest] = body === "" ? head : ["POST / HTTP/1.1", ...head.slice(1)];
  const peer = new RawPeer(front.h1Port, `${[first, ...rest].join("\r\n")}\r\n\r\n${body}`);
  await peer.closed();
  return peer.text;
}

function valuesOf(headers: string[] | undefined, name: string): string[] {
  return (headers ?? []).filter((_value, i, all) => i % 2 === 1 && all[i - 1]?.toLowerCase() === name);
}

const FORGED = [
  "X-Auth-User: root",
  "x-auth-user: root",
  "X_Auth_User: root",
  "X-AUTH_SCOPES: admin",
  "x.auth.subject: 1",
  "X-Auth-Anything-Else: 1",
  "X-Forwarded-For: 1.2.3.4",
  "X-Forwarded-For: 5.6.7.8",
  "X_Forwarded_For: 1.2.3.4",
  "X-Forwarded-Port: 1",
  "X-Forwarded: for=1",
  "Forwarded: for=1.2.3.4",
  "X-Real-IP: 1.2.3.4",
  "X_Real_IP: 1.2.3.4",
  "X-Internal-Request: true",
  "x_internal_request: true",
  "X-Request-Id: forged",
  "Proxy-Authorization: Basic eA==",
  "Proxy-Connection: keep-alive",
  "Proxy-Anything: 1",
];

describe("what a peer may not say (contract section 5)", () => {
  test("is removed in every letter case and spelling, and set once instead", async () => {
    const { front, seen } = await observe();
    await send(front, FORGED);
    const headers = seen[0] ?? [];
    expect(headers.join("\n")).not.toMatch(
      /root|forged|1\.2\.3\.4|5\.6\.7\.8|admin|x.auth|x.internal|x_|proxy-|real/i,
    );
    expect(valuesOf(headers, "x-forwarded-for")).toEqual(["192.0.2.7"]);
    expect(valuesOf(headers, "x-forwarded-proto")).toEqual(["https"]);
    expect(valuesOf(headers, "x-forwarded-host")).toEqual(["App.Example:8443"]);
    expect(valuesOf(headers, "x-request-id")).toEqual([(await front.ended()).req]);
    expect(valuesOf(headers, "forwarded")).toEqual([]);
  });

  test("nor over HTTP/2", async () => {
    const { front, seen } = await observe();
    const peer = new H2Peer(front.h2Port);
    await peer.ask({
      ":path": "/",
      ":authority": "app.example:8443",
      "x-auth-user": "root",
      x_auth_user: "root",
      "x-forwarded-for": "1.2.3.4",
      forwarded: "for=1.2.3.4",
      "x-internal-request": "true",
      "proxy-authorization": "x",
    });
    peer.close();
    const headers = seen[0] ?? [];
    expect(headers.join("\n")).not.toMatch(/root|1\.2\.3\.4|internal|proxy|:path|:method/i);
    expect(valuesOf(headers, "x-forwarded-host")).toEqual(["app.example:8443"]);
    expect(valuesOf(headers, "host")).toEqual([
      ((await front.ended()).upstream ?? "").slice("http://".length),
    ]);
  });

  test("nor in trailers: a request's trailers do not travel (RFC 9110 section 6.5.1)", async () => {
    const { front, seen, trailers } = await observe();
    await send(
      front,
      ["Transfer-Encoding: chunked", "Trailer: X-Auth-User"],
      "2\r\nhi\r\n0\r\nX-Auth-User: root\r\nX-Sum: 1\r\n\r\n",
    );
    expect(trailers).toEqual([[]]);
    expect(valuesOf(seen[0], "trailer")).toEqual([]);
  });

  test("Connection can't take away what is set here, nor length and host", async () => {
    const { front, seen } = await observe();
    await send(
      front,
      [
        "Connection: X-Forwarded-For, X-Request-Id, Host, Content-Length, X-Mine",
        "X-Mine: 1",
        "X-Kept: 1",
        "Content-Length: 2",
      ],
      "hi",
    );
    expect(valuesOf(seen[0], "x-forwarded-for")).toEqual(["192.0.2.7"]);
    expect(valuesOf(seen[0], "x-request-id")).toHaveLength(1);
    expect(valuesOf(seen[0], "content-length")).toEqual(["2"]);
    expect(valuesOf(seen[0], "x-mine")).toEqual([]);
    expect(valuesOf(seen[0], "x-kept")).toEqual(["1"]);
  });

  test("a second spelling of a framing field does not travel", () => {
    const { passed, contentLength, isChunked } = readRequestFields(
      "Content_Length 5 Transfer_Encoding chunked TRANSFER.ENCODING chunked Content_Type x X_Custom kept".split(
        " ",
      ),
    );
    expect(passed).toEqual(["X_Custom", "kept"]);
    expect([contentLength, isChunked]).toEqual([undefined, false]);
  });
});

describe("hop-by-hop fields (RFC 9110 section 7.6.1)", () => {
  test("do not reach the upstream, nor does Expect or an upgrade that is not carried", async () => {
    const { front, seen } = await observe();
    const answer = await send(front, [
      "Connection: Upgrade, HTTP2-Settings, X-Hop, close",
      "Upgrade: h2c",
      "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
      "Keep-Alive: timeout=5",
      "TE: gzip, trailers",
      "X-Hop: 1",
      "X-End: 1",
    ]);
    expect(answer).toMatch(/^HTTP\/1.1 200 OK/);
    expect(seen[0]?.join("\n")).not.toMatch(/upgrade|http2|timeout|x-hop|gzip|trailers/i);
    expect(valuesOf(seen[0], "x-end")).toEqual(["1"]);
    await send(front, ["Expect: 100-continue", "X-Auth-User: evil", "Content-Length: 2"], "hi");
    expect(seen[1]?.join("\n")).not.toMatch(/expect|evil/i);
  });

  test("do not reach the peer", async () => {
    const upstream = await startUpstream((_request, response) => {
      response.writeHead(200, {
        connection: "keep-alive, X-Hop",
        "keep-alive": "timeout=77",
        "proxy-connection": "x",
        "x-hop": "1",
        upgrade: "h2c",
        "x-end": "1",
      });
      response.end("ok");
    });
    const front = await startFront(upstream.url);
    cleanups.push(upstream.close, front.close);
    const one = await send(front, []);
    const peer = new H2Peer(front.h2Port);
    const two = await peer.ask({ ":path": "/" });
    peer.close();
    for (const text of [one, JSON.stringify(two.headers)]) {
      expect(text).not.toMatch(/x-hop|=77|proxy-connection|h2c/i);
      expect(text).toMatch(/x-end/i);
    }
  });
});

test("an access token of this host goes no further on an open host, either; any other does", async () => {
  const { front, seen } = await observe();
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const token = (type: string, issuer: string): string =>
    `${part({ typ: type, alg: "RS256" })}.${part({ iss: issuer })}.c2lnbmF0dXJl`;
  const own = token("at+jwt", "https://app.example:8443");
  for (const host of ["app.example:08443", "APP.example.:8443"])
    expect(ownOrigin({ host })).toBe("https://app.example:8443");
  for (const host of ["app.example", "app.example.", "app.example:", "app.example:443", "app.example:0443"])
    expect(ownOrigin({ host })).toBe("https://app.example");
  for (const scheme of ["Bearer", "bearer", "Bearer  "])
    await send(front, [`Authorization: ${scheme} ${own}`]);
  const foreign = [
    token("at+jwt", "https://other.example:8443"),
    token("JWT", "https://app.example:8443"),
    "eyJ",
    "eyJx.eyJx.x",
  ];
  for (const other of foreign) await send(front, [`Authorization: Bearer ${other}`]);
  expect(seen.map((headers) => valuesOf(headers, "authorization"))).toEqual([
    [],
    [],
    [],
    ...foreign.map((other) => [`Bearer ${other}`]),
  ]);
});

test("everything else passes: order, letter case, duplicates, MCP fields, credentials on an open host", async () => {
  const { front, seen } = await observe();
  const lines = [
    "X-Zeta: 1",
    "Authorization: Bearer token",
    "Mcp-Session-Id: s",
    "MCP-Protocol-Version: 2026-07-28",
    "Mcp-Param-Anything: p",
    "Last-Event-ID: 7",
    "Cookie: a=1; b=2",
    "x-alpha: 2",
    "X-Zeta: 3",
    "Accept: text/event-stream",
    "X-Octets: \u00e9\u00ff",
    "Origin: https://evil.example",
  ];
  await send(front, lines);
  const got = seen[0] ?? [];
  const pairs = got.map((name, i) => `${name}: ${got[i + 1] ?? ""}`).filter((_, i) => i % 2 === 0);
  expect(pairs.filter((pair) => lines.includes(pair))).toEqual(lines);
});

test("cookie crumbs of HTTP/2 are joined (RFC 9113 section 8.2.3)", async () => {
  const { front, seen } = await observe();
  const peer = new H2Peer(front.h2Port);
  await peer.ask({ ":path": "/", cookie: ["a=1", "b=2", "c=3"] });
  peer.close();
  expect(valuesOf(seen[0], "cookie")).toEqual(["a=1; b=2; c=3"]);
});

test("custom_headers replace the peer's own; Host and identity stay what the config says", async () => {
  const { front, seen } = await observe({
    fields: {
      preserve_host_header: true,
      custom_headers: {
        "X-Api-Key": "k",
        "x-forwarded-for": "9.9.9.9",
        "Transfer-Encoding": "chunked",
        "X-Auth-Token": "t",
      },
    },
  });
  await send(front, ["x-api-key: forged", "X_Api_Key: forged", "x.api-key: forged"]);
  expect(seen[0]?.join("\n")).not.toMatch(/forged/);
  expect(valuesOf(seen[0], "x-api-key")).toEqual(["k"]);
  expect(valuesOf(seen[0], "x-auth-token")).toEqual(["t"]);
  expect(valuesOf(seen[0], "x-forwarded-for")).toEqual(["192.0.2.7"]);
  expect(valuesOf(seen[0], "transfer-encoding")).toEqual([]);
  expect(valuesOf(seen[0], "host")).toEqual(["App.Example:8443"]);
  front.configure((await front.ended()).upstream ?? "", { custom_headers: { Host: "inner.example" } });
  await send(front, []);
  expect(valuesOf(seen[1], "host")).toEqual(["inner.example"]);
});

test("an identity in the context is told to the upstream and the record", async () => {
  const { front, seen } = await observe({
    identity: {
      login: "octocat",
      uid: "github:583231",
      scopes: ["admin", "mcp"],
      clientId: "client_1",
      email: "o@example.com",
    },
  });
  await send(front, ["X-Auth-User: root", "X-Auth-Email: root@example.com"]);
  expect(
    ["user", "subject", "scopes", "client", "email"].map((name) => valuesOf(seen[0], `x-auth-${name}`)),
  ).toEqual([["octocat"], ["github:583231"], ["admin mcp"], ["client_1"], ["o@example.com"]]);
  expect(await front.ended()).toMatchObject({
    user: "octocat",
    uid: "github:583231",
    scopes: ["admin", "mcp"],
    client_id: "client_1",
  });
});

describe("traceparent (W3C Trace Context)", () => {
  const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

  test("a valid one is continued with its state under a new parent", async () => {
    const { front, seen } = await observe();
    await send(front, [`traceparent: 00-${TRACE}-00f067aa0ba902b7-01`, "tracestate: a=1", "tracestate: b=2"]);
    const [value = ""] = valuesOf(seen[0], "traceparent");
    expect(value).toMatch(new RegExp(`^00-${TRACE}-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$`));
    expect(valuesOf(seen[0], "tracestate")).toEqual(["a=1", "b=2"]);
  });

  test("two of them are none", async () => {
    const { front, seen } = await observe();
    const line = `traceparent: 00-${TRACE}-00f067aa0ba902b7-01`;
    await send(front, [line, line, "tracestate: a=1"]);
    expect(valuesOf(seen[0], "traceparent")).toHaveLength(1);
    expect(valuesOf(seen[0], "traceparent")[0]).not.toContain(TRACE);
    expect(valuesOf(seen[0], "tracestate")).toEqual([]);
  });

  test.each([
    [`00-${TRACE}-00f067aa0ba902b7-00`, true],
    [`cc-${TRACE}-00f067aa0ba902b7-01-future`, true],
    [`00-${TRACE}-00f067aa0ba902b7-01-more`, false],
    [`ff-${TRACE}-00f067aa0ba902b7-01`, false],
    [`00-${"0".repeat(32)}-00f067aa0ba902b7-01`, false],
    [`00-${TRACE}-${"0".repeat(16)}-01`, false],
    [`00-${TRACE.toUpperCase()}-00f067aa0ba902b7-01`, false],
    ["", false],
    [undefined, false],
  ])("%s continues: %s", (inbound, isContinued) => {
    const next = nextTraceparent(inbound);
    expect(next.isContinued).toBe(isContinued);
    expect(next.value).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$/);
    expect(next.value.includes(TRACE)).toBe(isContinued);
  });
});
