import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { ask, HOSTNAME, openBed, statusOf, type Bed, type Front } from "./support/front-bed.ts";

describe("over the wire", () => {
  let bed: Bed;
  let front: Front;

  beforeAll(async () => {
    bed = await openBed();
    front = await bed.start();
  });
  afterAll(() => bed.close());

  test.each([
    ["a missing Host", "GET / HTTP/1.1\r\n\r\n", 400],
    ["HTTP/1.0 without Host", "GET / HTTP/1.0\r\n\r\n", 400],
    ["two Hosts", `GET / HTTP/1.1\r\nHost: ${HOSTNAME}\r\nHost: ${HOSTNAME}\r\n\r\n`, 400],
    ["another Host", "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n", 421],
    ["CONNECT", `CONNECT ${HOSTNAME}:443 HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`, 405],
    ["TRACE", `TRACE / HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`, 405],
    ["OPTIONS *", `OPTIONS * HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`, 204],
    [
      "an upgrade for another host",
      "GET / HTTP/1.1\r\nHost: b.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
      421,
    ],
  ])("%s is answered %p", async (_what, request, status) => {
    const seen = bed.upstream.seen.length;
    expect(statusOf(await front.raw(request))).toBe(status);
    expect(bed.upstream.seen).toHaveLength(seen);
  });

  test("the absolute form reaches the upstream as a path, with the host as named", async () => {
    const answer = await front.raw(`GET https://A.example/abs?q=1 HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    expect(answer).toContain("upstream /abs?q=1");
    expect(bed.upstream.seen.at(-1)?.headers["x-forwarded-host"]).toBe("A.example");
  });

  test.each(["PROPFIND", "QUERY", "M-SEARCH", "PURGE"])("%s is the upstream's to answer", async (method) => {
    await front.raw(`${method} /method HTTP/1.1\r\nHost: ${HOSTNAME}\r\nConnection: close\r\n\r\n`);
    expect(bed.upstream.seen.at(-1)?.method).toBe(method);
  });

  test.each(["A.EXAMPLE", "a.example.", "a.example:443", "a.example:"])(
    "Host %j is as good as any",
    async (host) => {
      expect(await front.raw(`GET /spelled HTTP/1.1\r\nHost: ${host}\r\n\r\n`)).toContain(
        "upstream /spelled",
      );
      expect(bed.upstream.seen.at(-1)?.headers["x-forwarded-host"]).toBe(host);
    },
  );

  test("a refusal is recorded once, with its reason, and names nothing to the peer", async () => {
    const answer = await front.raw(
      "POST /secret?q=hidden HTTP/1.1\r\nHost: b.example\r\nContent-Length: 5\r\n\r\nhello",
    );
    expect(answer).toContain('{"error":"misdirected"}');
    const record = await front.record(({ path }) => path === "/secret");
    expect(record).toMatchObject({
      status: 421,
      method: "POST",
      reason: "misdirected",
      ip: "192.0.2.7",
      hostname: HOSTNAME,
    });
    expect(front.records.filter(({ path }) => path === "/secret")).toHaveLength(1);
    expect(JSON.stringify(front.records)).not.toContain("hidden");
  });

  test("a refused body doesn't become the next request", async () => {
    const inner = `GET /smuggled HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`;
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(`POST / HTTP/1.1\r\nHost: b.example\r\nContent-Length: ${inner.length}\r\n\r\n${inner}`);
    await once(socket, "data");
    await front.get("/after");
    expect(bed.upstream.seen.some(({ url }) => url === "/smuggled")).toBe(false);
    socket.destroy();
  });

  test("HTTP/2: the same verdicts", async () => {
    const session = await front.http2();
    expect((await ask(session, { ":path": "/two" })).body).toBe("upstream /two");
    expect((await ask(session, { ":authority": "b.example" })).status).toBe(421);
    expect((await ask(session, { host: "b.example" })).status).toBe(400);
    expect((await ask(session, { ":method": "TRACE" })).status).toBe(405);
    expect((await ask(session, { ":method": "OPTIONS", ":path": "*" })).status).toBe(204);
    session.destroy();
  });
});
