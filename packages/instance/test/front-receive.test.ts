import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { writeProxyHeader } from "@gatehouse/shared/proxy-header";
import { newConnectionId } from "@gatehouse/shared/record-id";
import { until } from "@gatehouse/testbed/until";
import { HEADER, HOSTNAME, PEER, openBed, untilClosed, type Bed, type Front } from "./support/front-bed.ts";

let bed: Bed;
let front: Front;

beforeAll(async () => {
  bed = await openBed();
  front = await bed.start({ GATEHOUSE_PROXY_TIMEOUT_MS: "300" });
});
afterAll(() => bed.close());

function lastForwardedFor(): string | string[] | undefined {
  return bed.upstream.seen.at(-1)?.headers["x-forwarded-for"];
}

describe("the PROXY header names the peer", () => {
  test.each([
    ["v2", "192.0.2.7"],
    ["v1", "192.0.2.7"],
    ["v2", "2001:db8::7"],
    ["v1", "2001:db8::7"],
  ] as const)("%s, %s", async (version, ip) => {
    const addresses = { source: { ip, port: 1 }, destination: { ip, port: 443 } };
    const { status } = await front.get("/", { header: writeProxyHeader(version, { addresses, hops: 0 }) });
    expect(status).toBe(200);
    expect(lastForwardedFor()).toBe(ip);
  });

  test("LOCAL keeps the socket's own address", async () => {
    const local = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");
    expect((await front.get("/local", { header: local })).status).toBe(200);
    expect(lastForwardedFor()).toBe("127.0.0.1");
  });

  test("the dispatcher's connection id joins the records of both tiers; another sender's id is not taken", async () => {
    const ours = newConnectionId();
    await front.get("/ours", {
      header: writeProxyHeader("v2", { addresses: PEER, hops: 0, uniqueId: ours }),
    });
    expect((await front.record(({ path }) => path === "/ours")).conn).toBe(ours);
    const theirs = writeProxyHeader("v2", { addresses: PEER, hops: 0, uniqueId: "theirs\r\n" });
    await front.get("/theirs", { header: theirs });
    expect((await front.record(({ path }) => path === "/theirs")).conn).toMatch(/^c-[0-9A-Z]{26}$/);
  });
});

describe("no byte is lost and none is guessed", () => {
  test("header, hello and request in one piece, or byte by byte", async () => {
    for (const piece of [1, 7, 65_536]) {
      const socket = await front.open();
      const secured = connectTls({
        socket: inPieces(socket, piece),
        servername: HOSTNAME,
        ca: bed.authority.caPem,
      });
      secured.write(`GET /piece-${piece} HTTP/1.1\r\nHost: ${HOSTNAME}\r\nConnection: close\r\n\r\n`);
      expect(String(await untilClosed(secured))).toContain(`upstream /piece-${piece}`);
    }
  });

  test.each([
    ["a ClientHello without header", Buffer.from("16030100050100000100", "hex")],
    ["a header that is none", Buffer.from("PROXY TCP4 999.1.1.1 192.0.2.1 1 2\r\n")],
    ["HTTP", Buffer.from("GET / HTTP/1.1\r\n\r\n")],
  ])("%s: closed without a byte, and recorded", async (_what, bytes) => {
    const before = front.records.length;
    const socket = await front.open();
    socket.write(bytes);
    expect(await untilClosed(socket)).toHaveLength(0);
    const record = await front.record(
      (each) => front.records.indexOf(each) >= before && each.reason === "bad_proxy_header",
    );
    expect(record).toMatchObject({ event: "connection_refused", ip: "127.0.0.1", hostname: HOSTNAME });
  });

  test("the deadline is for the whole header, however it trickles in", async () => {
    const socket = await front.open();
    let at = 0;
    const drip = setInterval(() => socket.write(HEADER.subarray(at, ++at)), 60);
    expect(await untilClosed(socket)).toHaveLength(0);
    clearInterval(drip);
    expect(at).toBeLessThan(HEADER.length);
    await front.record(({ reason }) => reason === "proxy_header_timeout");
  });

  test("a sender that leaves without a byte is no news", async () => {
    const socket = await front.open();
    socket.end();
    await once(socket.resume(), "close");
    const later = await front.get("/later");
    expect(later.status).toBe(200);
    await front.record(({ path }) => path === "/later");
    expect(front.records.some(({ reason }) => reason === "left")).toBe(false);
  });
});

/** Writes the PROXY header and all that follows in pieces, the first of which holds both where it is long enough. */
function inPieces(socket: Socket, length: number): Duplex {
  let rest = HEADER;
  socket.on("data", (chunk) => duplex.push(chunk)).on("close", () => duplex.destroy());
  const duplex: Duplex = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      const bytes = Buffer.concat([rest, chunk]);
      rest = Buffer.alloc(0);
      void (async () => {
        for (let at = 0; at < bytes.length; at += length) {
          socket.write(bytes.subarray(at, at + length));
          await turn();
        }
        done();
      })();
    },
  });
  socket.setNoDelay(true);
  return duplex;
}

test("a sender that is not trusted gets no byte, whatever it sends", async () => {
  const strict = await bed.start({ GATEHOUSE_PROXY_FROM: "10.0.0.0/8" });
  const socket = await strict.open();
  socket.write(HEADER);
  expect(await untilClosed(socket)).toHaveLength(0);
  const record = await strict.record(({ reason }) => reason === "untrusted_sender");
  expect(record).toMatchObject({ event: "connection_refused", level: "warn", ip: "127.0.0.1" });
});

test("a unix socket is trusted by its file permission", async () => {
  const unix = await bed.start({
    GATEHOUSE_PROXY_FROM: "10.0.0.0/8",
    GATEHOUSE_INSTANCE_LISTEN: `unix:${bed.directory}/a.sock`,
  });
  expect((await unix.get("/unix")).status).toBe(200);
  expect(lastForwardedFor()).toBe("192.0.2.7");
});

test("allowed_addresses holds for new connections within a second of its change; open ones go on", async () => {
  const open = await front.connect({ ALPNProtocols: ["http/1.1"] });
  await bed.configure({ allowed_addresses: ["203.0.113.0/24"] });
  const record = await until(async () => {
    const socket = await front.open();
    socket.write(HEADER);
    const hello = connectTls({ socket, servername: HOSTNAME, ca: bed.authority.caPem });
    hello.on("error", () => undefined).on("secureConnect", () => hello.destroy());
    if (!socket.closed) await once(socket, "close");
    return front.records.find(({ reason }) => reason === "address_not_allowed");
  });
  expect(record).toMatchObject({ event: "connection_refused", ip: "192.0.2.7" });
  const inside = { ...PEER, source: { ip: "203.0.113.9", port: 1 } };
  expect(
    (await front.get("/", { header: writeProxyHeader("v2", { addresses: inside, hops: 0 }) })).status,
  ).toBe(200);
  open.write(`GET /still-open HTTP/1.1\r\nHost: ${HOSTNAME}\r\nConnection: close\r\n\r\n`);
  expect(String(await untilClosed(open))).toContain("upstream /still-open");
  await bed.configure();
});
