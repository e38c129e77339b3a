import { expect, test } from "@jest/globals";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { TestDispatcher } from "./support/dispatcher.ts";
import { until } from "@gatehouse/testbed/until";
import { closeOf, connectTo, readBytes, startRawTarget } from "./support/raw-target.ts";
import { HELLO, openTunnel } from "./support/tunnel.ts";

test("row 20: the deadline is absolute: a byte now and then doesn't move it", async () => {
  const dispatcher = await TestDispatcher.start({ routes: {}, helloTimeoutMs: 700 });
  const startedAt = performance.now();
  const peer = await connectTo(dispatcher.port);
  const end = closeOf(peer);
  let sent = 0;
  const trickle = setInterval(() => {
    if (!peer.destroyed) peer.write(HELLO.subarray(sent, ++sent));
  }, 100);
  const { bytes } = await end;
  clearInterval(trickle);
  expect(performance.now() - startedAt).toBeGreaterThan(650);
  expect(performance.now() - startedAt).toBeLessThan(4000);
  expect(bytes[6]).toBe(50);
  await expect(dispatcher.records.one()).resolves.toMatchObject({
    level: "warn",
    reason: "hello_timeout",
    phase: "hello",
  });
  await dispatcher.stop();
});

test("row 40: a peer that holds its connection without a byte is cut off without a line", async () => {
  const dispatcher = await TestDispatcher.start({ routes: {}, helloTimeoutMs: 200 });
  const peer = await connectTo(dispatcher.port);
  await closeOf(peer);
  await expect(dispatcher.records.one()).resolves.toMatchObject({ level: "debug", reason: "hello_timeout" });
  expect(dispatcher.metric("connections", ["refused", "hello_timeout"])).toBe(1);
  await dispatcher.stop();
});

test("rows 21 and 27: once routed, no deadline is left: quiet longer than the hello timeout goes on", async () => {
  const tunnel = await openTunnel("unix", { helloTimeoutMs: 300 });
  await sleep(1000);
  tunnel.far.write("still here");
  expect((await readBytes(tunnel.peer, 10)).toString()).toBe("still here");
  await tunnel.stop();
});

test("row 27: a tunnel without a byte is aborted after the idle timeout, one with a ping is not", async () => {
  const tunnel = await openTunnel("tcp", { idleTimeoutMs: 800 });
  const quiet = await tunnel.another();
  const ping = setInterval(() => tunnel.far.write("ping"), 100);
  await expect(closeOf(quiet.peer)).resolves.toMatchObject({ how: "reset" });
  await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({
    reason: "idle_timeout",
    ended_by: "dispatcher",
    message: expect.stringContaining("idle timeout in splice"),
  });
  expect(tunnel.dispatcher.listeners.connections.size).toBe(1);
  clearInterval(ping);
  await tunnel.stop();
});

test("row 20: 2,000 peers that sit on half a hello do not hurt a good one", async () => {
  const target = await startRawTarget("unix");
  const dispatcher = await TestDispatcher.start({
    routes: { "a.example": `${target.route};proxy=off` },
    helloTimeoutMs: 20_000,
  });
  const slow = Array.from({ length: 2000 }, () => {
    const socket = connect(dispatcher.port, "127.0.0.1").on("error", () => undefined);
    socket.write(HELLO.subarray(0, 50));
    return socket;
  });
  await until(() => dispatcher.listeners.connections.size === slow.length);
  const times: number[] = [];
  for (let i = 0; i < 20; i++) {
    const startedAt = performance.now();
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    const far = await target.socket(i);
    await readBytes(far, HELLO.length);
    times.push(performance.now() - startedAt);
    peer.destroy();
    far.destroy();
  }
  expect(times.sort((a, b) => a - b)[10]).toBeLessThan(100);
  for (const socket of slow) socket.destroy();
  await dispatcher.idle();
  await target.stop();
  await dispatcher.stop();
});

test("row 40: peers that leave without a byte are counted, and recorded at debug only", async () => {
  const dispatcher = await TestDispatcher.start({ routes: {}, level: "info" });
  const polite = await connectTo(dispatcher.port);
  polite.end();
  await once(polite.resume(), "close");
  const rude = await connectTo(dispatcher.port);
  rude.resetAndDestroy();
  await until(() => dispatcher.metric("connections.silent") === 2);
  expect(dispatcher.records.all).toEqual([]);
  const halfWay = await connectTo(dispatcher.port);
  halfWay.end(HELLO.subarray(0, 20));
  await expect(dispatcher.records.one()).resolves.toMatchObject({
    level: "info",
    event: "connection_ended",
    message: expect.stringContaining("peer closed in hello"),
  });
  halfWay.destroy();
  await dispatcher.stop();
});
