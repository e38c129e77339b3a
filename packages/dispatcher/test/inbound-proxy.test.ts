import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { newConnectionId } from "@gatehouse/shared/record-id";
import { writeProxyHeader, readProxyHeader, type ProxyHeader } from "@gatehouse/shared/proxy-header";
import { setImmediate as turn } from "node:timers/promises";
import { TestDispatcher } from "./support/dispatcher.ts";
import { until } from "@gatehouse/testbed/until";
import { closeOf, connectTo, readBytes, startRawTarget, type RawTarget } from "./support/raw-target.ts";
import { HELLO } from "./support/tunnel.ts";

const addresses = {
  source: { ip: "203.0.113.7", port: 40_000 },
  destination: { ip: "198.51.100.1", port: 443 },
};
const v2 = writeProxyHeader("v2", { addresses, hops: 0 });

let target: RawTarget;
let dispatcher: TestDispatcher;

beforeEach(async () => {
  target = await startRawTarget("tcp");
  dispatcher = await TestDispatcher.start({
    routes: { "a.example": target.route },
    proxyFrom: ["127.0.0.0/8"],
    maxConnectionsPerAddress: 2,
    helloTimeoutMs: 600,
  });
});

afterEach(async () => {
  await target.stop();
  await dispatcher.stop();
});

/** Sends the pieces one segment each; returns the header and the bytes behind it that the target gets. */
async function through(...pieces: readonly Buffer[]): Promise<{ header: ProxyHeader; rest: Buffer }> {
  const peer = await connectTo(dispatcher.port);
  peer.setNoDelay(true);
  for (const piece of pieces) {
    peer.write(piece);
    await turn();
  }
  const far = await target.socket(target.sockets.length);
  for (let bytes = Buffer.alloc(0); ; bytes = Buffer.concat([bytes, await readBytes(far, 1)])) {
    const read = readProxyHeader(bytes);
    if (read.kind === "malformed") throw new Error(read.problem);
    if (read.kind === "header") return { header: read.header, rest: await readBytes(far, HELLO.length) };
  }
}

describe("row 16: a listed sender", () => {
  test.each([
    ["v2", v2],
    ["v1", writeProxyHeader("v1", { addresses, hops: 0 })],
  ])(
    "is believed: its %s header's addresses go on to the target and into the record",
    async (_version, header) => {
      const { header: outbound } = await through(header, HELLO);
      expect(outbound).toMatchObject({ addresses, authority: "a.example", hops: 1 });
      for (const socket of target.sockets) socket.destroy();
      await dispatcher.stop();
      await expect(dispatcher.records.one()).resolves.toMatchObject({ ip: "203.0.113.7" });
    },
  );

  test("must send one: a bare hello is refused without an answer", async () => {
    const peer = await connectTo(dispatcher.port);
    const end = closeOf(peer);
    peer.write(HELLO);
    expect((await end).bytes).toHaveLength(0);
    await expect(dispatcher.records.one()).resolves.toMatchObject({
      event: "connection_refused",
      reason: "bad_proxy_header",
      phase: "proxy_header",
    });
    expect(target.sockets).toHaveLength(0);
  });

  test("has the one absolute deadline for header and hello together", async () => {
    const peer = await connectTo(dispatcher.port);
    const end = closeOf(peer);
    const startedAt = performance.now();
    peer.write(v2.subarray(0, 20));
    const rest = setTimeout(() => peer.write(Buffer.concat([v2.subarray(20), HELLO.subarray(0, 30)])), 400);
    await end;
    clearTimeout(rest);
    expect(performance.now() - startedAt).toBeLessThan(4000);
    await expect(dispatcher.records.one()).resolves.toMatchObject({
      reason: "hello_timeout",
      phase: "hello",
      ip: "203.0.113.7",
    });
  });

  test("is not the address that the limit per address counts", async () => {
    await through(v2, HELLO);
    await through(v2, HELLO);
    const other = writeProxyHeader("v2", {
      addresses: { ...addresses, source: { ip: "203.0.113.8", port: 1 } },
      hops: 0,
    });
    await through(other, HELLO);
    const peer = await connectTo(dispatcher.port);
    const end = closeOf(peer);
    peer.write(Buffer.concat([v2, HELLO]));
    expect((await end).bytes[6]).toBe(80);
    await expect(dispatcher.records.one()).resolves.toMatchObject({
      reason: "too_many_connections",
      ip: "203.0.113.7",
    });
  });

  test("that only checks our health (header, no byte, close) makes no record above debug", async () => {
    const peer = await connectTo(dispatcher.port);
    peer.end(Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex"));
    await until(() => dispatcher.metric("connections.silent") === 1);
    await expect(dispatcher.records.one()).resolves.toMatchObject({ level: "debug" });
    peer.destroy();
  });
});

test("row 18: LOCAL and UNKNOWN keep the socket's own addresses", async () => {
  const local = Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex");
  for (const header of [local, Buffer.from("PROXY UNKNOWN\r\n")]) {
    const { header: outbound } = await through(header, HELLO);
    expect(outbound.addresses?.source.ip).toBe("127.0.0.1");
  }
});

test("row 19: header and hello in one segment, and cut anywhere, lose no byte", async () => {
  const dispatched = await TestDispatcher.start({
    routes: { "a.example": target.route },
    proxyFrom: ["127.0.0.1"],
  });
  await dispatcher.stop();
  dispatcher = dispatched;
  const whole = Buffer.concat([v2, HELLO]);
  const together = await through(whole);
  expect(together.rest.equals(HELLO)).toBe(true);
  for (const cut of [1, 12, 15, 16, 27, v2.length - 1, v2.length, v2.length + 1, v2.length + 6]) {
    const { rest, header } = await through(whole.subarray(0, cut), whole.subarray(cut));
    expect({ cut, same: rest.equals(HELLO), source: header.addresses?.source.ip }).toEqual({
      cut,
      same: true,
      source: "203.0.113.7",
    });
  }
});

test("the connection id of a dispatcher in front is kept, so that one id joins all records", async () => {
  const uniqueId = newConnectionId();
  const { header } = await through(writeProxyHeader("v2", { addresses, uniqueId, hops: 1 }), HELLO);
  expect(header).toMatchObject({ uniqueId, hops: 2 });
  const foreign = await through(
    writeProxyHeader("v2", { addresses, uniqueId: "not\none of ours", hops: 0 }),
    HELLO,
  );
  expect(foreign.header.uniqueId).toMatch(/^c-/);
});

test("row 34: too many dispatchers passed is a loop", async () => {
  const peer = await connectTo(dispatcher.port);
  const end = closeOf(peer);
  peer.write(Buffer.concat([writeProxyHeader("v2", { addresses, hops: 4 }), HELLO]));
  expect((await end).bytes[6]).toBe(80);
  await expect(dispatcher.records.one()).resolves.toMatchObject({ reason: "loop" });
});
