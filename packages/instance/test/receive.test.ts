/** The PROXY header on a connection of its own: who is believed, what is told, and that no byte is lost. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { AddressList } from "@gatehouse/shared/address";
import { writeProxyHeader } from "@gatehouse/shared/proxy-header";
import { newConnectionId } from "@gatehouse/shared/record-id";
import { receive, type Received, type ReceiveOptions } from "../src/receive.ts";

const PEER = {
  source: { ip: "192.0.2.7", port: 40_000 },
  destination: { ip: "198.51.100.1", port: 443 },
};
const HEADER = writeProxyHeader("v2", { addresses: PEER, hops: 0 });
const LOCAL = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");
const EVENTS = ["data", "end", "close"] as const;

let server: Server;
let unix: Server;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-receive-"));
  server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  unix = createServer({ allowHalfOpen: true }).listen(join(directory, "a.sock"));
  await Promise.all([once(server, "listening"), once(unix, "listening")]);
});
afterAll(async () => {
  server.close();
  unix.close();
  await rm(directory, { recursive: true });
});

const sockets: Socket[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Both ends of a new connection. */
async function pair(listener = server): Promise<{ peer: Socket; accepted: Socket }> {
  const accepting = once(listener, "connection") as Promise<[Socket]>;
  const peer =
    listener === unix
      ? connect(join(directory, "a.sock"))
      : connect((server.address() as AddressInfo).port, "127.0.0.1");
  const [accepted] = await accepting;
  for (const socket of [peer, accepted]) sockets.push(socket.on("error", () => undefined));
  return { peer, accepted };
}

function options(given: Partial<ReceiveOptions> & { from?: string } = {}): ReceiveOptions {
  const { from = "127.0.0.0/8", ...rest } = given;
  const parsed = AddressList.parse([from]);
  if (!parsed.ok) throw new TypeError(from);
  return { proxyFrom: parsed.list, isUnix: false, timeoutMs: 10_000, ...rest };
}

/** What is received of these bytes, and what stays behind them. */
async function received(bytes: Buffer): Promise<{ got: Received; rest: string; accepted: Socket }> {
  const { peer, accepted } = await pair();
  const receiving = receive(accepted, options());
  peer.end(bytes);
  const got = await receiving;
  const chunks: Buffer[] = [];
  if (got.ok) for await (const chunk of accepted) chunks.push(chunk as Buffer);
  return { got, rest: Buffer.concat(chunks).toString(), accepted };
}

describe("a header that is whole", () => {
  test("tells the addresses; what lies behind it stays unread", async () => {
    const { got, rest } = await received(Buffer.concat([HEADER, Buffer.from("hello")]));
    expect(got).toMatchObject({ ok: true, addresses: PEER });
    expect(rest).toBe("hello");
  });

  test("may come in pieces, with nothing behind it", async () => {
    const { peer, accepted } = await pair();
    const receiving = receive(accepted, options());
    for (const octet of HEADER) {
      peer.write(Buffer.of(octet));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await receiving).toMatchObject({ ok: true, addresses: PEER });
    expect(accepted.isPaused()).toBe(true);
    expect(accepted.readableLength).toBe(0);
    peer.write("later");
    const next = once(accepted, "data");
    accepted.resume();
    expect(String((await next)[0])).toBe("later");
  });

  test("leaves the connection at rest and without listeners for its next owner", async () => {
    const { peer, accepted } = await pair();
    const before = EVENTS.map((event) => accepted.listenerCount(event));
    const receiving = receive(accepted, options());
    peer.write(Buffer.concat([HEADER, Buffer.from("hello")]));
    await receiving;
    expect(accepted.isPaused()).toBe(true);
    expect(EVENTS.map((event) => accepted.listenerCount(event))).toEqual(before);
  });

  test("keeps the dispatcher's connection id, and no other sender's", async () => {
    const uniqueId = newConnectionId();
    const of = (id: string): Buffer => writeProxyHeader("v2", { addresses: PEER, hops: 0, uniqueId: id });
    expect((await received(of(uniqueId))).got).toMatchObject({ ok: true, id: uniqueId });
    for (const bytes of [of("theirs"), HEADER]) {
      expect((await received(bytes)).got).toMatchObject({
        ok: true,
        id: expect.stringMatching(/^c-[0-9A-Z]{26}$/),
      });
    }
  });

  test("of LOCAL keeps the socket's own ends", async () => {
    const { peer, accepted } = await pair();
    const receiving = receive(accepted, options());
    peer.write(LOCAL);
    expect(await receiving).toMatchObject({
      ok: true,
      addresses: {
        source: { ip: "127.0.0.1", port: peer.localPort },
        destination: { ip: "127.0.0.1", port: peer.remotePort },
      },
    });
  });
});

describe("who is believed", () => {
  test("a sender that is not listed is refused before a byte of it is read", async () => {
    const { peer, accepted } = await pair();
    const before = EVENTS.map((event) => accepted.listenerCount(event));
    peer.write(HEADER);
    expect(await receive(accepted, options({ from: "10.0.0.0/8" }))).toEqual({
      ok: false,
      reason: "untrusted_sender",
      problem: "not in GATEHOUSE_PROXY_FROM",
    });
    expect(EVENTS.map((event) => accepted.listenerCount(event))).toEqual(before);
    expect(accepted.bytesWritten).toBe(0);
  });

  test("on a unix socket everybody who could connect; LOCAL has no address there", async () => {
    const { peer, accepted } = await pair(unix);
    const receiving = receive(accepted, options({ from: "10.0.0.0/8", isUnix: true }));
    peer.write(LOCAL);
    const nowhere = { ip: "unknown", port: 0 };
    expect(await receiving).toMatchObject({
      ok: true,
      addresses: { source: nowhere, destination: nowhere },
    });
  });

  test("nobody whose address is not known", async () => {
    const { accepted } = await pair(unix);
    expect(await receive(accepted, options({ from: "0.0.0.0/0" }))).toMatchObject({
      ok: false,
      reason: "untrusted_sender",
    });
  });
});

describe("a header that is none", () => {
  test("is refused with what is wrong, and nothing is answered", async () => {
    const { got, accepted } = await received(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    expect(got).toMatchObject({ ok: false, reason: "bad_proxy_header", problem: expect.stringMatching(/./) });
    expect(accepted.bytesWritten).toBe(0);
    expect(accepted.isPaused()).toBe(true);
  });

  test.each([
    ["nothing at all", 0, { reason: "left", problem: "closed before the PROXY header" }],
    ["a part of it", 5, { reason: "bad_proxy_header", problem: "closed inside the PROXY header" }],
  ])("a sender that closes after %s", async (_what, octets, failure) => {
    expect((await received(HEADER.subarray(0, octets))).got).toEqual({ ok: false, ...failure });
  });

  test("a connection that breaks is one that closed", async () => {
    const { peer, accepted } = await pair();
    const receiving = receive(accepted, options());
    peer.resetAndDestroy();
    expect(await receiving).toMatchObject({ ok: false, reason: "left" });
  });

  test("a header that does not come in time, nor is waited for after another end", async () => {
    const { peer, accepted } = await pair();
    const receiving = receive(accepted, options({ timeoutMs: 50 }));
    peer.write(HEADER.subarray(0, 5));
    expect(await receiving).toEqual({
      ok: false,
      reason: "proxy_header_timeout",
      problem: "no whole PROXY header in 50 ms",
    });
    const timers = (): number =>
      process.getActiveResourcesInfo().filter((resource) => resource === "Timeout").length;
    const before = timers();
    await received(HEADER);
    expect(timers()).toBe(before);
  });
});
