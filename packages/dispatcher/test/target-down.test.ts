import { afterEach, describe, expect, test } from "@jest/globals";
import { freePort } from "@gatehouse/testbed/free-ports";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestDispatcher, type FixedRoutes } from "./support/dispatcher.ts";
import { until } from "@gatehouse/testbed/until";
import { closeOf, connectTo, readBytes, startRawTarget } from "./support/raw-target.ts";
import { HELLO } from "./support/tunnel.ts";

const cleanUps: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function start(routes: FixedRoutes, options: { dialTimeoutMs?: number } = {}): Promise<TestDispatcher> {
  const dispatcher = await TestDispatcher.start({ routes, ...options });
  cleanUps.push(() => dispatcher.stop());
  return dispatcher;
}

async function startTarget() {
  const target = await startRawTarget("tcp");
  cleanUps.push(() => target.stop());
  return target;
}

const FULL_LISTENER = `
  const net = require("node:net");
  const server = net.createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    process.stdout.write(String(server.address().port), () => process.kill(process.pid, "SIGSTOP"));
  });`;

/** A stopped process with a full queue: the kernel swallows every further attempt, which is neither answered nor refused. */
async function startBlackHole(): Promise<number> {
  const child = startGuarded(process.execPath, ["-e", FULL_LISTENER], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  cleanUps.push(() => endProcess(child, "SIGKILL", 1000));
  if (!child.stdout) throw new Error("no stdout");
  const [data] = (await once(child.stdout, "data")) as [Buffer];
  const port = Number(data.toString());
  let unanswered = 0;
  for (let i = 0; i < 4; i++) {
    const filler = net.connect(port, "127.0.0.1").on("error", () => undefined);
    cleanUps.push(() => void filler.destroy());
    unanswered++;
    filler.once("connect", () => unanswered--);
  }
  await until(() => unanswered < 4 && unanswered > 0);
  return port;
}

describe("row 30", () => {
  test("a target that stays down is retried within the budget, then alert 80", async () => {
    const port = await freePort();
    const dispatcher = await start({ "a.example": String(port) }, { dialTimeoutMs: 500 });
    const startedAt = performance.now();
    const peer = await connectTo(dispatcher.port);
    const end = closeOf(peer);
    peer.write(HELLO);
    expect((await end).bytes[6]).toBe(80);
    expect(performance.now() - startedAt).toBeLessThan(3000);
    expect(dispatcher.pool.failures.length).toBeGreaterThan(2);
    await expect(dispatcher.records.one()).resolves.toMatchObject({
      level: "warn",
      reason: "target_down",
      phase: "dial",
      hostname: "a.example",
      message: expect.stringMatching(/^refused: target_down a\.example \(alert 80\): .*ECONNREFUSED/),
    });
    expect(dispatcher.pool.open).toBe(0);
  });

  test("a target that is restarting gets its peer, hello and all", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gh-restart-"));
    cleanUps.push(() => rm(directory, { recursive: true }));
    const path = join(directory, "t.sock");
    const dispatcher = await start({ "a.example": `unix:${path};proxy=off` }, { dialTimeoutMs: 10_000 });
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    await until(() => dispatcher.pool.failures.length >= 2);
    const server = net.createServer().listen(path);
    const [far] = (await once(server, "connection")) as [net.Socket];
    expect((await readBytes(far, HELLO.length)).equals(HELLO)).toBe(true);
    peer.destroy();
    far.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  test("another target of the route takes over before the first byte", async () => {
    const target = await startTarget();
    const dispatcher = await start({ "a.example": `${await freePort()},${target.route};proxy=off` });
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    const far = await target.socket();
    expect((await readBytes(far, HELLO.length)).equals(HELLO)).toBe(true);
    expect(dispatcher.pool.failures).toHaveLength(1);
    peer.destroy();
    far.destroy();
    await dispatcher.idle();
    expect(dispatcher.pool.open).toBe(0);
  });

  test("a target that swallows every attempt uses up its share of the time, not the next one's", async () => {
    const blackHole = await startBlackHole();
    const target = await startTarget();
    const dispatcher = await start(
      { "a.example": `${blackHole},${target.route};proxy=off` },
      { dialTimeoutMs: 1000 },
    );
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    const far = await target.socket();
    expect((await readBytes(far, HELLO.length)).equals(HELLO)).toBe(true);
    expect(dispatcher.pool.failures).toEqual([expect.stringContaining("did not answer in time")]);
    peer.destroy();
    far.destroy();
  });

  test("a target that has taken bytes is never replaced", async () => {
    const first = await startRawTarget(
      "tcp",
      (socket) => void socket.once("data", () => socket.resetAndDestroy()),
    );
    cleanUps.push(() => first.stop());
    const second = await startTarget();
    const dispatcher = await start({ "a.example": `${first.route},${second.route};proxy=off` });
    const peer = await connectTo(dispatcher.port);
    const end = closeOf(peer);
    peer.write(HELLO);
    await expect(end).resolves.toMatchObject({ how: "reset" });
    expect(second.sockets).toHaveLength(0);
  });

  test("a peer that resets while its target is dialled ends the dial at once", async () => {
    const dispatcher = await start({ "a.example": String(await freePort()) }, { dialTimeoutMs: 60_000 });
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    await until(() => dispatcher.pool.failures.length >= 1);
    peer.resetAndDestroy();
    await dispatcher.idle();
    await expect(dispatcher.records.one()).resolves.toMatchObject({
      event: "connection_ended",
      level: "info",
      message: expect.stringContaining("peer aborted in dial"),
    });
    expect(dispatcher.pool.open).toBe(0);
  });

  test("a peer that closes while its target is dialled is not waited for", async () => {
    const dispatcher = await start({ "a.example": String(await freePort()) }, { dialTimeoutMs: 60_000 });
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    await until(() => dispatcher.pool.failures.length >= 1);
    peer.destroy();
    await dispatcher.idle();
    await expect(dispatcher.records.one()).resolves.toMatchObject({
      message: expect.stringContaining("peer closed in dial"),
    });
  });
});

describe("row 31", () => {
  test("a name is resolved at each dial", async () => {
    const target = await startTarget();
    const dispatcher = await start({ "a.example": `localhost:${target.route};proxy=off` });
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    await readBytes(await target.socket(), HELLO.length);
    peer.destroy();
  });

  test("a name that doesn't resolve is a target that is down", async () => {
    const dispatcher = await start({ "a.example": "nowhere.invalid:443" }, { dialTimeoutMs: 300 });
    const peer = await connectTo(dispatcher.port);
    const end = closeOf(peer);
    peer.write(HELLO);
    expect((await end).bytes[6]).toBe(80);
    await expect(dispatcher.records.one()).resolves.toMatchObject({ reason: "target_down" });
  });
});

test("row 33: a unix path over 107 octets is reached under its hashed name", async () => {
  const { usableSocketPath } = await import("@gatehouse/shared/listen-address");
  const directory = await mkdtemp(join(tmpdir(), "gh-long-"));
  cleanUps.push(() => rm(directory, { recursive: true }));
  const path = join(directory, `${"x".repeat(120)}.sock`);
  const server = net.createServer().listen(usableSocketPath(path));
  const dispatcher = await start({ "a.example": `unix:${path};proxy=off` });
  const peer = await connectTo(dispatcher.port);
  peer.write(HELLO);
  const [far] = (await once(server, "connection")) as [net.Socket];
  expect((await readBytes(far, HELLO.length)).equals(HELLO)).toBe(true);
  peer.destroy();
  far.destroy();
  await new Promise((resolve) => server.close(resolve));
});
