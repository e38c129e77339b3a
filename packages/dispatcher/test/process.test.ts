import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Redis } from "ioredis";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "@gatehouse/testbed/until";
import { DispatcherProcess } from "./support/process.ts";
import { closeOf, connectTo, readBytes, startRawTarget, type RawTarget } from "./support/raw-target.ts";
import { HELLO } from "./support/tunnel.ts";

let redis: PrivateRedis;
let operator: Redis;
let target: RawTarget;
let stateDir: string;
let env: Record<string, string>;

beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "gh-state-"));
  redis = await startPrivateRedis();
  operator = new Redis(redis.socketPath);
  operator.on("error", () => undefined);
  target = await startRawTarget("unix");
  env = {
    REDIS_URL: redis.url,
    GATEHOUSE_STATE_DIR: stateDir,
    GATEHOUSE_DISPATCHER_ADMIN_LISTEN: "127.0.0.1:0",
    GATEHOUSE_DIAL_TIMEOUT_MS: "300",
  };
});

afterAll(async () => {
  operator.disconnect();
  await target.stop();
  await redis.stop();
  await rm(stateDir, { recursive: true, force: true });
});

/** Sends a hello and returns the alert number, or undefined when it was routed. */
async function alertFrom(dispatcher: DispatcherProcess): Promise<number | undefined> {
  const before = target.sockets.length;
  const peer = await connectTo(dispatcher.port);
  peer.write(HELLO);
  const alert = closeOf(peer).then(({ bytes }) => bytes[6]);
  const routed = target.socket(before).then((socket) => void socket.destroy());
  return Promise.race([alert, routed]);
}

describe("a dispatcher process", () => {
  test("row 29: follows routes while it runs, and touches no connection by it", async () => {
    await operator.del("route:a.example");
    const dispatcher = await DispatcherProcess.start(env);
    expect(await alertFrom(dispatcher)).toBe(112);
    await operator.set("route:a.example", `${target.route};proxy=off`);
    await until(async () => (await alertFrom(dispatcher)) === undefined, Boolean, 5000);
    const index = target.sockets.length;
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    const far = await target.socket(index);
    await readBytes(far, HELLO.length);
    await operator.del("route:a.example");
    await until(async () => (await alertFrom(dispatcher)) === 112, Boolean, 5000);
    far.write("still here");
    expect((await readBytes(peer, 10)).toString()).toBe("still here");
    peer.destroy();
    far.destroy();
    expect(await dispatcher.stop()).toBe(0);
    expect(dispatcher.output).toMatch(
      /⚠ \[WARN\] refused: no_route a\.example \(alert 112\)\n {2}Client: 127\.0\.0\.1 → Proxy: a\.example\n {2}Auth: \(empty\)\n {2}Ids: conn=c-/,
    );
    expect(dispatcher.output).toMatch(
      /● \[INFO\] connection ended: (?:peer|target) (?:closed|aborted) in splice, \d\.\d s, in \d+ B, out 10 B/,
    );
  });

  test("keeps routing while Redis is away, says so once each way, and needs no restart", async () => {
    await operator.set("route:a.example", `${target.route};proxy=off`);
    const dispatcher = await DispatcherProcess.start(env);
    expect(await alertFrom(dispatcher)).toBeUndefined();
    await redis.kill();
    await until(() => dispatcher.output.includes("Redis is away"));
    expect(await alertFrom(dispatcher)).toBeUndefined();
    const health = (await (await fetch(`${dispatcher.adminUrl}/health`)).json()) as object;
    expect(health).toEqual({ status: "ok", connections: expect.any(Number), redis: "away" });
    await redis.restart();
    await until(() => dispatcher.output.includes("Redis is back"));
    expect(await alertFrom(dispatcher)).toBe(112);
    expect(dispatcher.output.match(/Redis is (away|back)/g)).toEqual(["Redis is away", "Redis is back"]);
    expect(await dispatcher.stop()).toBe(0);
  });

  test("starts without Redis from its snapshot", async () => {
    await operator.set("route:a.example", `${target.route};proxy=off`);
    const first = await DispatcherProcess.start(env);
    expect(await alertFrom(first)).toBeUndefined();
    expect(await first.stop()).toBe(0);
    await redis.kill();
    const second = await DispatcherProcess.start(env);
    expect(await alertFrom(second)).toBeUndefined();
    expect(await second.stop()).toBe(0);
    await redis.restart();
  });

  test("aborts what is left at the drain deadline and exits 0", async () => {
    await operator.set("route:a.example", `${target.route};proxy=off`);
    const dispatcher = await DispatcherProcess.start({ ...env, GATEHOUSE_DISPATCHER_DRAIN_SECONDS: "1" });
    const index = target.sockets.length;
    const peer = await connectTo(dispatcher.port);
    peer.write(HELLO);
    await target.socket(index);
    const end = closeOf(peer);
    dispatcher.child.kill("SIGTERM");
    await expect(end).resolves.toMatchObject({ how: "reset" });
    expect(await dispatcher.exited()).toBe(0);
    expect(dispatcher.output).toMatch(/drain deadline in splice/);
  });

  test("reports every configuration problem at once and exits 78", async () => {
    const broken = DispatcherProcess.launch({
      GATEHOUSE_DISPATCHER_LISTEN: "name.example:443",
      GATEHOUSE_PROXY_FROM: "10.0.0.0/99",
      REDIS_URL: "http://secret@nowhere",
      GATEHOUSE_MAX_HELLO_BYTES: "12",
    });
    expect(await broken.exited()).toBe(78);
    for (const name of [
      "GATEHOUSE_DISPATCHER_LISTEN",
      "GATEHOUSE_PROXY_FROM",
      "REDIS_URL",
      "GATEHOUSE_MAX_HELLO_BYTES",
    ]) {
      expect(broken.output).toContain(name);
    }
    expect(broken.output).not.toContain("secret");
  });
});
