/** A hostile upstream: what it answers, octet by octet, and what of that a peer gets. docs/attack-suites.md has the list. */
import type { IncomingHttpHeaders } from "node:http2";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { AttackBed } from "./support/attack-bed.ts";
import { HOSTNAME as HOST } from "./support/front-bed.ts";

let bed: AttackBed;
beforeAll(async () => {
  bed = await AttackBed.open();
});
afterAll(() => bed.close());
beforeEach(() => bed.forget());

interface Told {
  status: number;
  headers: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
  interim: number;
  body: string;
  /** Of the stream; 0 where it ended in order. */
  code: number;
}

const answer = (head: string, body = "ok"): string => `HTTP/1.1 ${head}\r\n\r\n${body}`;
const OK = answer("200 OK\r\nContent-Length: 2");

/** What a peer on HTTP/1.1 reads, octet by octet, when the upstream answers so; the host serves on afterwards. */
async function overHttp1(octets: string, { ends = false, path = "/mcp" } = {}): Promise<string> {
  bed.upstream.answer = { octets, ends };
  const request = `GET ${path} HTTP/1.1\r\nHost: ${HOST}\r\nConnection: close\r\n${bed.authorization}\r\n`;
  const text = await bed.say(request);
  await servesOn();
  return text;
}

async function overHttp2(octets: string, { ends = false } = {}): Promise<Told> {
  bed.upstream.answer = { octets, ends };
  const session = await bed.front.http2();
  const told: Told = { status: 0, headers: {}, trailers: {}, interim: 0, body: "", code: 0 };
  const stream = session.request({ ":path": "/mcp", authorization: `Bearer ${bed.token}` });
  stream.on("error", () => undefined).on("headers", () => (told.interim += 1));
  stream.on("response", (headers) => Object.assign(told, { headers, status: headers[":status"] }));
  stream.on("trailers", (trailers) => (told.trailers = trailers));
  stream.on("data", (chunk: Buffer) => (told.body += chunk.toString("latin1")));
  await new Promise((resolve) => stream.once("close", resolve));
  told.code = stream.rstCode ?? 0;
  session.destroy();
  await servesOn();
  return told;
}

/** A fault that nobody catches would have ended the process by now. */
async function servesOn(): Promise<void> {
  bed.upstream.answer = undefined;
  expect(await bed.front.get("/open/still")).toEqual({ status: 200, body: "GET /open/still" });
}

describe("response splitting: an answer that two readers could read in two ways is no answer", () => {
  test.each([
    ["a bare LF in a value", answer("200 OK\r\nX-A: a\nSet-Cookie: b=c\r\nContent-Length: 2")],
    ["a bare CR in a value", answer("200 OK\r\nX-A: a\rSet-Cookie: b=c\r\nContent-Length: 2")],
    ["NUL in a value", answer("200 OK\r\nX-A: a\u0000b\r\nContent-Length: 2")],
    ["a control character in a value", answer("200 OK\r\nX-A: a\u0001b\r\nContent-Length: 2")],
    ["a folded value", answer("200 OK\r\nX-A: a\r\n Set-Cookie: b=c\r\nContent-Length: 2")],
    ["a space in a name", answer("200 OK\r\nX A: a\r\nContent-Length: 2")],
    ["a space before the colon", answer("200 OK\r\nX-A : a\r\nContent-Length: 2")],
    ["a field without a name", answer("200 OK\r\n: a\r\nContent-Length: 2")],
    ["a pseudo field", answer("200 OK\r\n:status: 404\r\nContent-Length: 2")],
    ["a bare CR in the reason", answer("200 O\rSet-Cookie: b=c\r\nContent-Length: 2")],
    ["two lengths that agree", answer("200 OK\r\nContent-Length: 2\r\nContent-Length: 2")],
    ["two lengths that do not", answer("200 OK\r\nContent-Length: 2\r\nContent-Length: 3")],
    [
      "a length beside chunks",
      answer(`200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked`, "2\r\nok\r\n0\r\n\r\n"),
    ],
    ["a coding beside chunked", answer("200 OK\r\nTransfer-Encoding: gzip, chunked", "2\r\nok\r\n0\r\n\r\n")],
    ["a coding in chunked's place", answer("200 OK\r\nTransfer-Encoding: gzip", "ok")],
    ["a status of two digits", answer("99 OK\r\nContent-Length: 2")],
    ["a status below 100", answer("099 OK\r\nContent-Length: 2")],
    ["a status of four digits", answer("1000 OK\r\nContent-Length: 2")],
    ["an upgrade nobody asked for", answer("101 Switching\r\nUpgrade: x\r\nConnection: upgrade", OK)],
    ["a continue nobody asked for", answer("100 Continue", OK)],
    ["a header without end", answer(`200 OK\r\nX-A: ${"x".repeat(300_000)}`)],
  ])("%s: 502 on both protocols", async (_name, octets) => {
    expect(await overHttp1(octets)).toMatch(/^HTTP\/1\.1 502 [^]*"bad_gateway"[^]*$/);
    expect(await overHttp2(octets)).toMatchObject({ status: 502, code: 0 });
    expect(bed.front.records.filter(({ status }) => status === 502)).toHaveLength(2);
  });

  test.each([
    ["a second answer behind the first", OK + answer("200 OK\r\nContent-Length: 4", "evil"), "ok"],
    ["a body longer than its length", answer("200 OK\r\nContent-Length: 2", "okevil"), "ok"],
    ["a body behind a 204", answer("204 No Content\r\nContent-Length: 4", "evil"), ""],
    [
      "a body behind a 304",
      answer("304 Not Modified\r\nTransfer-Encoding: chunked", "4\r\nevil\r\n0\r\n\r\n"),
      "",
    ],
  ])("%s reaches neither this peer nor the next", async (_name, octets, body) => {
    const [, first] = /\r\n\r\n([^]*)$/.exec(await overHttp1(octets)) ?? [];
    expect(first).toBe(body);
    expect((await overHttp2(octets)).body).toBe(body);
  });

  test.each(["zz\r\nok\r\n0\r\n\r\n", "fffffffffffffffff\r\nok\r\n", "2\r\nokX"])(
    "chunks that are none, %j: cut off",
    async (chunks) => {
      const octets = answer("200 OK\r\nTransfer-Encoding: chunked", chunks);
      expect(await overHttp1(octets)).not.toMatch(/\r\n0\r\n\r\n$/);
      expect((await overHttp2(octets)).code).not.toBe(0);
    },
  );
});

describe("what an upstream may not say on a protected host", () => {
  test("connection fields end here", async () => {
    const fields =
      "TE: gzip\r\nHTTP2-Settings: x\r\nUpgrade: h2c\r\nProxy-Connection: x\r\nKeep-Alive: 3\r\nX-Own: 1";
    const octets = answer(`200 OK\r\nConnection: x-own\r\n${fields}\r\nContent-Length: 2`);
    expect(await overHttp1(octets)).not.toMatch(/^(?:te|http2-settings|upgrade|proxy-connection|x-own):/im);
    expect(await overHttp2(octets)).toMatchObject({ status: 200, body: "ok" });
  });

  test("trailers that say more than the content does do not travel, and none of them breaks the process", async () => {
    const trailers =
      "X-Sum: 1\r\nX-Sum: 2\r\nETag: a\r\nETag: b\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nSet-Cookie: a=b\r\n" +
      "WWW-Authenticate: Bearer\r\nLocation: /x\r\nConnection: x\r\nAccess-Control-Allow-Origin: *\r\n__proto__: x";
    const octets = answer(
      "200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked",
      `2\r\nok\r\n0\r\n${trailers}\r\n\r\n`,
    );
    const text = await overHttp1(octets);
    expect(text).toMatch(/\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\nETag: a\r\nETag: b\r\n(?:__proto__: x\r\n)?\r\n$/);
    const { trailers: told, code } = await overHttp2(octets);
    expect(Object.fromEntries(Object.entries(told))).toEqual({ "x-sum": "1, 2", etag: "a, b" });
    expect(code).toBe(0);
  });

  test("interim responses without end are passed on to a bound, then dropped", async () => {
    const octets = answer("103 Early Hints\r\nLink: </a>", "").repeat(5000) + OK;
    const text = await overHttp1(octets);
    expect(text.match(/HTTP\/1\.1 103/g)).toHaveLength(100);
    expect(text).toMatch(/\r\n\r\nok$/);
    expect(await overHttp2(octets)).toMatchObject({ status: 200, interim: 100, body: "ok" });
  });

  test("cookies of the login are not the upstream's to set; its own are", async () => {
    const names = [
      "__Host-gatehouse-start-abc",
      "__Secure-gatehouse-interaction",
      "gatehouse-x",
      "=__Host-gatehouse-start-abc",
      " = gatehouse-x",
    ];
    const lines = names.map((name) => `Set-Cookie: ${name}=evil; Path=/; Secure; HttpOnly`);
    const octets = answer(
      `200 OK\r\n${lines.join("\r\n")}\r\nSet-Cookie: mine=1\r\nset-cookie: not-gatehouse-x=2\r\nContent-Length: 2`,
    );
    const text = await overHttp1(octets);
    expect(text.match(/set-cookie: .*/gi)).toEqual(["Set-Cookie: mine=1", "set-cookie: not-gatehouse-x=2"]);
    expect((await overHttp2(octets)).headers["set-cookie"]).toEqual(["mine=1", "not-gatehouse-x=2"]);
    const interim = answer(`103 Early Hints\r\n${lines.join("\r\n")}`, "") + OK;
    expect(await overHttp1(interim)).not.toMatch(/evil/);
  });

  test("nor in the answer to a WebSocket handshake", async () => {
    const accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    const cookies = "Set-Cookie: __Host-gatehouse-start-a=evil; Path=/; Secure\r\nSet-Cookie: mine=1";
    bed.upstream.answer = {
      octets: answer(
        `101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${accept}\r\n${cookies}`,
        "",
      ),
    };
    const key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    const lines = `Connection: Upgrade\r\nUpgrade: websocket\r\n${key}`;
    const text = await bed.say(`GET /mcp HTTP/1.1\r\nHost: ${HOST}\r\n${bed.authorization}${lines}\r\n\r\n`);
    expect(text).toMatch(/^HTTP\/1\.1 101 /);
    expect(text.match(/set-cookie: .*/gi)).toEqual(["set-cookie: mine=1"]);
  });

  test("a challenge of its own, to another authorization server, is replaced by ours", async () => {
    const evil =
      'WWW-Authenticate: Bearer resource_metadata="https://evil.example/.well-known/oauth-protected-resource"';
    const ours = `Bearer scope="mcp", resource_metadata="https://${HOST}/.well-known/oauth-protected-resource/mcp"`;
    const octets = answer(
      `401 Unauthorized\r\n${evil}\r\nwww-authenticate: Basic realm="x"\r\nContent-Length: 2`,
    );
    expect((await overHttp1(octets)).match(/www-authenticate: .*/gi)).toEqual([`WWW-Authenticate: ${ours}`]);
    expect((await overHttp2(octets)).headers["www-authenticate"]).toBe(ours);
    const beside = answer(`200 OK\r\n${evil}\r\nContent-Length: 2`);
    expect(await overHttp1(beside)).not.toMatch(/www-authenticate/i);
    expect(await overHttp1(octets, { path: "/open/x" })).not.toContain("evil.example");
  });

  test("fields named like properties of objects are fields", async () => {
    const octets = answer("200 OK\r\n__proto__: a\r\n__proto__: b\r\nconstructor: c\r\nContent-Length: 2");
    expect(await overHttp1(octets)).toMatch(/\r\n__proto__: a\r\n__proto__: b\r\nconstructor: c\r\n/);
    expect(await overHttp2(octets)).toMatchObject({ status: 200, body: "ok" });
  });
});
