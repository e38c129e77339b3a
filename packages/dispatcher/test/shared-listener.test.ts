import { expect, test } from "@jest/globals";
import { startPrivateRedis } from "@gatehouse/testbed/private-redis";
import { once } from "node:events";
import net from "node:net";
import { closeOf, connectTo, readBytes, startRawTarget } from "./support/raw-target.ts";
import { until } from "@gatehouse/testbed/until";
import { DispatcherProcess } from "./support/process.ts";
import { HELLO } from "./support/tunnel.ts";
import { Redis } from "ioredis";

test("row 28: two dispatchers share one inherited listener; one drains, no connection attempt is lost", async () => {
  const redis = await startPrivateRedis();
  const target = await startRawTarget("unix");
  const operator = new Redis(redis.socketPath);
  await operator.set("route:a.example", `${target.route};proxy=off`);
  // Bound here and handed over; this process closes its own copy, as a supervisor that never accepts.
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as net.AddressInfo;
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
  const env = { REDIS_URL: redis.url, GATEHOUSE_DISPATCHER_ADMIN_LISTEN: "127.0.0.1:0" };
  const [a, b] = await Promise.all([DispatcherProcess.start(env, fd), DispatcherProcess.start(env, fd)]);
  await new Promise((resolve) => listener.close(resolve));
  expect([a.port, b.port]).toEqual([port, port]);

  let opened = 0;
  const open = async (): Promise<net.Socket> => {
    const peer = await connectTo(port);
    peer.write(HELLO);
    await readBytes(await target.socket(opened++), HELLO.length);
    return peer;
  };
  const peers = await Promise.all(Array.from({ length: 40 }, open));
  const counts = await Promise.all([
    a.metric("connections_accepted_total"),
    b.metric("connections_accepted_total"),
  ]);
  expect(counts[0] + counts[1]).toBe(40);

  a.child.kill("SIGTERM");
  await until(() => a.output.includes("no new connections"));
  const later = await Promise.all(Array.from({ length: 20 }, open));
  expect(await b.metric("connections_accepted_total")).toBe(counts[1] + 20);
  // Those that the draining one still holds go on.
  for (const [index, socket] of target.sockets.entries()) socket.write(`n${index}`);
  for (const peer of peers) expect((await readBytes(peer, 2)).toString()).toMatch(/^n/);

  const ends = [...peers, ...later].map((peer) => closeOf(peer));
  for (const socket of target.sockets) socket.end();
  await Promise.all(ends);
  expect(await a.exited()).toBe(0);
  expect(await b.stop()).toBe(0);
  operator.disconnect();
  await target.stop();
  await redis.stop();
});

test("an inherited descriptor named http is the plain port; the others are for TLS", async () => {
  const redis = await startPrivateRedis();
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address() as net.AddressInfo;
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
  const dispatcher = await DispatcherProcess.start({ REDIS_URL: redis.url, LISTEN_FDNAMES: "http" }, fd);
  await new Promise((resolve) => listener.close(resolve));
  expect(dispatcher.port).not.toBe(port);
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
  expect(await dispatcher.stop()).toBe(0);
  await redis.stop();
});
