/** An attacker with an account of the least rights, on raw sockets, through TLS and a PROXY header: docs/attack-suites.md has the list. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { AttackBed, SMUGGLED } from "./support/attack-bed.ts";
import { HOSTNAME as HOST } from "./support/front-bed.ts";

let bed: AttackBed;
beforeAll(async () => {
  bed = await AttackBed.open();
});
afterAll(() => bed.close());
beforeEach(() => bed.forget());

/** Closes the connection behind whatever came before, if that left it open. */
const LAST = `GET /open/last HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n\r\n`;
const CHUNKED = "Transfer-Encoding: chunked";

/** Sends lines and a body as the attacker's own request, and returns what arrived besides the last. */
async function post(lines: string, body = "", line = "POST /mcp HTTP/1.1"): Promise<string[]> {
  return await send(`${line}\r\nHost: ${HOST}\r\n${bed.authorization}${lines}\r\n\r\n${body}`);
}

async function send(text: string): Promise<string[]> {
  const answer = await bed.say(text + LAST);
  expect(answer).not.toMatch(/HTTP\/1\.1 200 [^]*\/admin/);
  return (await bed.arrived()).filter((request) => request !== "GET /open/last");
}

describe("request smuggling over HTTP/1.1", () => {
  test.each([
    ["CL.TE: a length before chunks", `Content-Length: 6\r\n${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`],
    ["TE.CL: chunks before a length", `${CHUNKED}\r\nContent-Length: 4`, `5c\r\n${SMUGGLED}0\r\n\r\n`],
    ["TE.TE: chunked, then identity", "Transfer-Encoding: chunked, identity", `0\r\n\r\n${SMUGGLED}`],
    ["TE.TE: two fields", `${CHUNKED}\r\nTransfer-Encoding: identity`, `0\r\n\r\n${SMUGGLED}`],
    ["TE.TE: identity before chunked", `Transfer-Encoding: identity\r\n${CHUNKED}`, `0\r\n\r\n${SMUGGLED}`],
    ["TE.TE: chunked twice", "Transfer-Encoding: chunked, chunked", "2\r\nzz\r\n0\r\n\r\n"],
    ["a coding beside chunked", "Transfer-Encoding: gzip, chunked", "2\r\nzz\r\n0\r\n\r\n"],
    ["a coding with an empty member", "Transfer-Encoding: ,chunked", "2\r\nzz\r\n0\r\n\r\n"],
    ["a coding nobody knows", "Transfer-Encoding: xchunked", `0\r\n\r\n${SMUGGLED}`],
    ["a coding in quotes", 'Transfer-Encoding: "chunked"', `0\r\n\r\n${SMUGGLED}`],
    ["a coding with a parameter", "Transfer-Encoding: chunked;q=1", `0\r\n\r\n${SMUGGLED}`],
    ["a coding behind a vertical tab", "Transfer-Encoding: \u000bchunked", `0\r\n\r\n${SMUGGLED}`],
    ["an empty coding", "Transfer-Encoding: \r\nContent-Length: 2", `ab${SMUGGLED}`],
    ["a coding in HTTP/1.0", CHUNKED, "2\r\nzz\r\n0\r\n\r\n", "POST /mcp HTTP/1.0"],
    ["another version on the line", "Content-Length: 2", "zz", "POST /mcp HTTP/2.0"],
    ["a version of one digit more", "Content-Length: 2", "zz", "POST /mcp HTTP/1.10"],
    ["a space before the colon", `Transfer-Encoding : chunked\r\nContent-Length: 4`, `0\r\n\r\n${SMUGGLED}`],
    ["a tab before the colon", `Transfer-Encoding\t: chunked\r\nContent-Length: 4`, `0\r\n\r\n${SMUGGLED}`],
    ["a line that begins with a space", ` ${CHUNKED}\r\nContent-Length: 4`, `0\r\n\r\n${SMUGGLED}`],
    ["obs-fold: a folded field", `X-A: b\r\n ${CHUNKED}\r\nContent-Length: 4`, "abcd"],
    [
      "obs-fold: a folded coding",
      "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4",
      `0\r\n\r\n${SMUGGLED}`,
    ],
    ["a bare LF in the head", "X-A: b\nX-Auth-User: root\r\nContent-Length: 4", "abcd"],
    ["a bare CR in the head", "X-A: b\rX-Auth-User: root\r\nContent-Length: 4", "abcd"],
    ["NUL in a value", "X-A: b\u0000c\r\nContent-Length: 4", "abcd"],
    ["NUL in a name", "X-\u0000A: b\r\nContent-Length: 4", "abcd"],
    ["two lengths that agree", "Content-Length: 4\r\nContent-Length: 4", "abcd"],
    ["two lengths that do not", "Content-Length: 4\r\nContent-Length: 5", "abcd"],
    ["a list of lengths", "Content-Length: 4, 4", "abcd"],
    ["a length with a sign", "Content-Length: +4", "abcd"],
    ["a hexadecimal length", "Content-Length: 0x4", "abcd"],
    ["a length beyond 64 bits", "Content-Length: 18446744073709551620", "abcd"],
    ["an empty length", "Content-Length: ", SMUGGLED],
    ["a chunk size beyond 64 bits", CHUNKED, "10000000000000002\r\nzz\r\n0\r\n\r\n"],
    ["a chunk size with a sign", CHUNKED, "+2\r\nzz\r\n0\r\n\r\n"],
    ["a chunk size with 0x", CHUNKED, "0x2\r\nzz\r\n0\r\n\r\n"],
    ["a chunk longer than its size", CHUNKED, `2\r\nzzz\r\n0\r\n\r\n${SMUGGLED}`],
    ["a chunk without a size", CHUNKED, "\r\nzz\r\n0\r\n\r\n"],
    ["chunks ended by a bare LF", CHUNKED, `2\nzz\n0\n\n${SMUGGLED}`],
    ["a bare LF in a chunk extension", CHUNKED, "2;\nxx\r\nzz\r\n0\r\n\r\n"],
    ["a bare CR in a chunk extension", CHUNKED, "2;a\rb\r\nzz\r\n0\r\n\r\n"],
    ["a quoted chunk extension with a line end", CHUNKED, '2;a="\r\nzz\r\n0\r\n\r\n'],
    ["two requests on one line", "X: y", "", `GET /open/a HTTP/1.1 GET /admin/keys HTTP/1.1`],
  ])("%s: nothing arrives", async (_name, lines, ...[body, line]) => {
    expect(await post(lines, body, line)).toEqual([]);
  });

  test.each([
    ["a chunk extension is dropped", CHUNKED, "2;a=b\r\nzz\r\n0\r\n\r\n", "zz"],
    ["leading zeros of a chunk size mean nothing", CHUNKED, "0002\r\nzz\r\n0\r\n\r\n", "zz"],
    [
      "a second spelling of a framing field is dropped",
      "Content_Length: 0\r\nContent-Length: 4",
      "abcd",
      "abcd",
    ],
    ["a request in a body stays a body", `Content-Length: ${SMUGGLED.length}`, SMUGGLED, SMUGGLED.trimEnd()],
    ["a request behind a body is judged by itself", "Content-Length: 2", `zz${SMUGGLED}`, "zz"],
    [
      "a framing field under another name decides nothing",
      "Transfer_Encoding: chunked\r\nContent-Length: 2",
      `5c${SMUGGLED}`,
      "5c",
    ],
    [
      "trailers that name security fields do not travel",
      `${CHUNKED}\r\nTrailer: X-Auth-User`,
      "2\r\nzz\r\n0\r\nX-Auth-User: root\r\nX-Auth-Scopes: admin\r\nX-Forwarded-For: 127.0.0.1\r\n\r\n",
      "zz",
    ],
  ])("%s", async (_name, lines, ...[body, arrives]) => {
    expect(await post(lines, body)).toEqual([`POST /mcp ${arrives}`]);
  });

  test("more fields than are counted are refused, not cut off", async () => {
    expect(await post(`${"a: b\r\n".repeat(2500)}Content-Length: 4`, "abcd")).toEqual([]);
    expect(await post(`${"a: b\r\n".repeat(900)}Content-Length: 4`, "abcd")).toEqual(["POST /mcp abcd"]);
    expect(bed.values("a")[0]).toHaveLength(900);
  });

  test("an expectation that nobody knows is refused, and on record", async () => {
    expect(await post("Expect: 200-ok\r\nContent-Length: 2", "zz")).toEqual([]);
    await bed.front.record(({ status, reason }) => status === 417 && reason === "expectation_failed");
  });
});

describe("one host, however it is named", () => {
  test.each([
    ["another host in absolute form", `GET https://b.example/mcp HTTP/1.1`, HOST],
    ["ours in absolute form, another in Host", `GET https://${HOST}/mcp HTTP/1.1`, "b.example"],
    ["userinfo that looks like ours", `GET https://${HOST}@b.example/mcp HTTP/1.1`, HOST],
    ["userinfo in front of ours", `GET https://b.example@${HOST}/mcp HTTP/1.1`, HOST],
    ["another scheme", `GET http://${HOST}/mcp HTTP/1.1`, HOST],
    ["a target without a slash", "GET @b.example/mcp HTTP/1.1", HOST],
    ["a path that begins with a host", "GET //b.example/mcp HTTP/1.1", HOST],
    ["two Host fields", "GET /mcp HTTP/1.1", `${HOST}\r\nHost: b.example`],
    ["two Host fields that agree", "GET /mcp HTTP/1.1", `${HOST}\r\nHost: ${HOST}`],
    ["a list in Host", "GET /mcp HTTP/1.1", `${HOST}, b.example`],
    ["userinfo in Host", "GET /mcp HTTP/1.1", `b.example@${HOST}`],
    ["a path in Host", "GET /mcp HTTP/1.1", `${HOST}/x`],
    ["CONNECT", `CONNECT ${HOST}:443 HTTP/1.1`, HOST],
  ])("%s: nothing arrives", async (_name, line, host) => {
    expect(await send(`${line}\r\nHost: ${host}\r\n${bed.authorization}\r\n`)).toEqual([]);
  });
});

describe("a path that two readers resolve differently", () => {
  // Whoever is behind may take any of these for /admin/keys, which needs admin; /open/* needs nothing.
  test.each([
    "/open/../admin/keys",
    "/open/%2e%2e/admin/keys",
    "/open/%2E./admin/keys",
    "/open/..%2fadmin/keys",
    "/open%2f..%2fadmin/keys",
    "/open/..;/admin/keys",
    "/open/..;a=b/admin/keys",
    "/open/..%3b/admin/keys",
    "/open/%252e%252e/admin/keys",
    "/open/..%252fadmin/keys",
    "/open/..\\admin/keys",
    "/open/..%5cadmin/keys",
    "/open/%C0%AE%C0%AE/admin/keys",
    "/open/..%C0%AFadmin/keys",
    "/open/%E0%80%AE%E0%80%AE/admin/keys",
    "/open/%u002e%u002e/admin/keys",
    "/open/%00/../admin/keys",
    "/open/x%0d%0aX-Auth-User:%20root",
    "/open/x#/../../admin/keys",
    "//admin/keys",
    "/admin//keys",
    "/./admin/keys",
    "/%61dmin/keys",
    "/admin%2fkeys",
    "/ADMIN/keys",
    "/admin;x=y/keys",
    "/\\admin/keys",
  ])("%s never arrives, with a token or without", async (path) => {
    const head = `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\n`;
    expect(await send(`${head}${bed.authorization}\r\n`)).toEqual([]);
    expect(await send(`${head}\r\n`)).toEqual([]);
  });
});

describe("a name that is not the attacker's", () => {
  const SPELLINGS = [
    "X-Auth-User",
    "x-auth-user",
    "X_Auth_User",
    "X-AUTH_USER",
    "X.Auth.User",
    "x~auth~user",
  ];

  test("identity in every spelling, twice and beside a Connection that names the real ones: only the real one arrives", async () => {
    const lies = SPELLINGS.flatMap((name) => [`${name}: root`, `${name}: root`]);
    const others = [
      "X-Auth-Scopes: admin",
      "X_Auth_Subject: github:1",
      "X-Internal-Request: true",
      "X-Real-IP: 127.0.0.1",
    ];
    const connection =
      "Connection: authorization, x-auth-user, x-auth-subject, x-auth-scopes, x-forwarded-for, x-request-id, host, content-length";
    const lines = [...lies, ...others, "Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1", connection];
    expect(await post([...lines, "Content-Length: 2"].join("\r\n"), "zz")).toEqual(["POST /mcp zz"]);
    expect(bed.values("x-auth-scopes")).toEqual([["user mcp"]]);
    expect(bed.values("x-auth-subject")).toEqual([["github:666"]]);
    expect(bed.values("x-forwarded-for")).toEqual([["192.0.2.7"]]);
    for (const gone of ["x-internal-request", "x-real-ip", "forwarded"])
      expect(bed.values(gone)).toEqual([[]]);
    expect(bed.upstream.octets).not.toContain("root");
  });

  test("fields that override method or path do not arrive: rules have judged those of the request", async () => {
    const names =
      "X-HTTP-Method-Override X_Http_Method_Override X-HTTP-Method X-Method-Override X-Original-URL X-Rewrite-URL".split(
        " ",
      );
    const lines = [...names.map((name) => `${name}: /admin/keys`), "X-Rewriting: stays", "Content-Length: 2"];
    expect(await post(lines.join("\r\n"), "zz")).toEqual(["POST /mcp zz"]);
    expect(bed.upstream.octets).not.toContain("/admin/keys");
    expect(bed.values("x-rewriting")).toEqual([["stays"]]);
  });

  test.each([
    ["h2c", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"],
    ["a WebSocket of no version", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777"],
    ["WebSocket and h2c", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\nSec-WebSocket-Version: 13"],
  ])("upgrade smuggling by %s: what follows the request does not arrive", async (_name, lines) => {
    const head = `GET /mcp HTTP/1.1\r\nHost: ${HOST}\r\n${bed.authorization}${lines}\r\n`;
    expect(await send(`${head}Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n${SMUGGLED}`)).toEqual([
      "GET /mcp",
    ]);
    expect(bed.values("http2-settings")).toEqual([[]]);
    expect(bed.upstream.octets).not.toContain("h2c");
  });

  test("our own cookies, tossed or kept, do not arrive; the others do", async () => {
    const cookies =
      "Cookie: a=1; __Host-gatehouse-start-x=y; b=2\r\nCookie: __Secure-gatehouse-z=1; c=3; gatehouse-q=1";
    await post(`${cookies}\r\nContent-Length: 2`, "zz");
    expect(bed.values("cookie")).toEqual([["a=1; b=2; c=3"]]);
  });
});
