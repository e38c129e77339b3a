import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { closeRedis, openRedis, type RedisClient } from "../src/redis-connection.ts";
import { TrackedKeys } from "../src/redis-tracking.ts";
import { toldKeys } from "./support/told-keys.ts";
import { until } from "@gatehouse/testbed/until";

let server: PrivateRedis;
let operator: RedisClient;
let tracked: TrackedKeys;
/** What the callbacks said, in order: `armed`, `lost`, `all`, or a key. */
let told: string[];

beforeEach(async () => {
  server = await startPrivateRedis();
  operator = openRedis({ url: server.url, clientName: "operator" });
  told = [];
  tracked = toldKeys(told, { url: server.url, prefixes: ["route:", "proxy:"] });
});

afterEach(async () => {
  await tracked.close();
  await closeRedis(operator);
  await server.stop();
});

async function arm(): Promise<void> {
  tracked.start();
  await until(() => tracked.armed && operator.status === "ready");
}

/** Awaits the next arming after `lost` was told, then proves with a write that it is real. */
async function expectRearmed(): Promise<void> {
  await until(() => told.includes("lost") && tracked.armed && operator.status === "ready");
  expect(told.filter((word) => word === "lost" || word === "armed")).toEqual(["armed", "lost", "armed"]);
  told.length = 0;
  await operator.set("route:proof.example", "1");
  await until(() => told.includes("route:proof.example"));
}

async function clientId(name: string): Promise<string> {
  const list = String(await operator.call("CLIENT", "LIST"));
  const line = list.split("\n").find((entry) => entry.includes(` name=${name} `));
  return /^id=(\d+)/.exec(line ?? "")?.[1] ?? "";
}

describe("while armed", () => {
  test("SET, DEL and expiry under the prefixes are told, other keys are not", async () => {
    await arm();
    await operator.set("other:x", "1");
    await operator.set("route:a,b.example", "1");
    await operator.set("proxy:b.example", "2");
    await operator.del("route:a,b.example");
    await operator.set("route:short.example", "1", "PX", 20);
    await until(() => told.filter((key) => key === "route:short.example").length === 2);
    expect(told).toEqual([
      "armed",
      "route:a,b.example",
      "proxy:b.example",
      "route:a,b.example",
      "route:short.example",
      "route:short.example",
    ]);
  });

  test("FLUSHALL is told as all", async () => {
    await arm();
    await operator.flushall();
    await until(() => told.includes("all"));
  });

  test("what is written after onArmed is always told", async () => {
    // The write is sent from inside the callback, the earliest moment a cache may begin to trust.
    const eager = new TrackedKeys({
      url: server.url,
      clientName: "eager",
      prefixes: ["route:"],
      onArmed: () => void operator.set("route:first.example", "1"),
      onInvalidated: (keys) => told.push(...(keys === "all" ? ["all"] : keys)),
      onLost: () => undefined,
    });
    await until(() => operator.status === "ready");
    eager.start();
    await until(() => told.includes("route:first.example"));
    await eager.close();
  });
});

describe("is armed anew", () => {
  test("after its command connection was killed", async () => {
    await arm();
    await operator.client("KILL", "ID", await clientId("test"));
    await expectRearmed();
  });

  test("after its subscriber was killed", async () => {
    await arm();
    await operator.client("KILL", "ID", await clientId("test-invalidations"));
    await expectRearmed();
  });

  test("after the server was killed and started again", async () => {
    await arm();
    await server.kill();
    await until(() => told.includes("lost"));
    expect(tracked.armed).toBe(false);
    await server.restart();
    await expectRearmed();
  });

  test("after the server froze, which is noticed within seconds", async () => {
    await arm();
    await server.kill("SIGSTOP");
    const frozenAt = performance.now();
    await until(() => told.includes("lost"));
    expect(performance.now() - frozenAt).toBeLessThan(4_000);
    expect(tracked.armed).toBe(false);
    await server.kill("SIGCONT");
    await expectRearmed();
  });

  test("after a start without a server, which is told as lost once", async () => {
    await server.kill();
    tracked.start();
    await until(() => told.includes("lost"));
    expect(told).toEqual(["lost"]);
    await server.restart();
    await until(() => tracked.armed);
    expect(told).toEqual(["lost", "armed"]);
  });

  test("once the server allows what it refused", async () => {
    await until(() => operator.status === "ready");
    await operator.call("ACL", "SETUSER", "default", "-client|tracking");
    tracked.start();
    await until(() => told.includes("lost"));
    expect(tracked.armed).toBe(false);
    await operator.call("ACL", "SETUSER", "default", "+client|tracking");
    await until(() => tracked.armed);
  });
});

test("closing is quick and silences every callback, also with a frozen server", async () => {
  await arm();
  await server.kill("SIGSTOP");
  const start = performance.now();
  await tracked.close();
  expect(performance.now() - start).toBeLessThan(1_500);
  expect(told).toEqual(["armed"]);
  expect(tracked.armed).toBe(false);
});

test("a server that quotes what it does not know, the password with it, is not quoted in turn", async () => {
  const old = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (command) => {
      const quoted = command.toString().replaceAll(/\r\n/g, " ");
      socket.write(`-ERR unknown command \`AUTH\`, with args beginning with: ${quoted}\r\n`.repeat(8));
    });
  });
  old.listen(0, "127.0.0.1");
  await once(old, "listening");
  const { promise, resolve } = Promise.withResolvers<string>();
  const lost = new TrackedKeys({
    url: `redis://gate:hunter2hunter2@127.0.0.1:${(old.address() as AddressInfo).port}`,
    clientName: "test",
    prefixes: ["route:"],
    onArmed: () => undefined,
    onInvalidated: () => undefined,
    onLost: resolve,
  });
  lost.start();
  const reason = await promise;
  await lost.close();
  old.close();
  expect(reason).toContain("unknown command");
  expect(reason).not.toContain("hunter2");
});
