import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { closeRedis, openRedis, readyWithin, type RedisClient } from "@gatehouse/shared/redis-connection";
import { startPrivateRedisCluster, type PrivateRedisCluster } from "@gatehouse/testbed/private-redis-cluster";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Redis } from "ioredis";
import { IssuerLock } from "../src/acme/issuer-lock.ts";

let server: PrivateRedis;
let redis: Redis;
let hostname: Hostname;

beforeAll(async () => {
  server = await startPrivateRedis();
  redis = new Redis({ path: server.socketPath });
  const parsed = parseHostname("a.example");
  if (!parsed.ok) throw new Error("no hostname");
  ({ hostname } = parsed);
});
afterAll(async () => {
  redis.disconnect();
  await server.stop();
});

test("one holds it; it ends by itself, and what its former holder writes is refused", async () => {
  const first = await IssuerLock.take(redis, hostname);
  expect(first).toBeDefined();
  expect(await IssuerLock.take(redis, hostname)).toBeUndefined();
  expect(await redis.pttl("acme:lock:a.example")).toBeGreaterThan(20_000);
  await first?.write([{ key: "result", value: "one", ttlMs: 5000 }]);
  expect(await redis.pttl("result")).toBeGreaterThan(0);
  // A process that was frozen for longer than the lock lasts finds this when it goes on.
  await redis.del("acme:lock:a.example");
  const second = await IssuerLock.take(redis, hostname);
  await expect(first?.write([{ key: "result", value: "late" }])).rejects.toThrow(/another process/);
  expect(first?.lost.aborted).toBe(true);
  await second?.write([
    { key: "result", value: "two" },
    { key: "other", value: null },
  ]);
  await first?.release();
  expect(await redis.exists("acme:lock:a.example")).toBe(1);
  expect(await redis.mget("result", "other")).toEqual(["two", null]);
  expect(await redis.pttl("result")).toBe(-1);
  await second?.release();
  expect(await redis.exists("acme:lock:a.example")).toBe(0);
});

describe("on a Cluster, where lock and results lie on several servers", () => {
  const [certificate, attempts] = ["cert:a.example", "acme:attempts:a.example"];
  let cluster: PrivateRedisCluster;
  let spread: RedisClient;

  beforeAll(async () => {
    cluster = await startPrivateRedisCluster();
    spread = openRedis({ url: cluster.url, clientName: "test" });
    await readyWithin(spread, 5000);
  }, 60_000);
  afterAll(async () => {
    await closeRedis(spread);
    await cluster?.stop();
  });

  async function taken(): Promise<IssuerLock> {
    await spread.del("acme:lock:a.example");
    const lock = await IssuerLock.take(spread, hostname);
    if (lock === undefined) throw new Error("the lock is held");
    return lock;
  }

  test("the holder writes, again too, and the former one is refused by the lock", async () => {
    const first = await taken();
    expect(await first.read(certificate)).toBeNull();
    await first.write([{ key: attempts, value: "begun", ttlMs: 5000 }]);
    expect(await spread.pttl(attempts)).toBeGreaterThan(0);
    await first.write([
      { key: certificate, value: "one" },
      { key: attempts, value: null },
    ]);
    expect([await spread.get(certificate), await spread.exists(attempts)]).toEqual(["one", 0]);
    const second = await taken();
    await expect(first.write([{ key: certificate, value: "late" }])).rejects.toThrow(/another process/);
    expect(first.lost.aborted).toBe(true);
    await second.release();
    expect(await spread.exists("acme:lock:a.example")).toBe(0);
  });

  test("one that was frozen between lock and write can't overwrite what its successor did", async () => {
    await spread.set(certificate, "old");
    const first = await taken();
    await first.read(certificate);
    // The successor came and went, and a failover lost its lock: the token alone would let the former holder through.
    await spread.set(certificate, "of the successor");
    await expect(
      first.write([
        { key: certificate, value: "late" },
        { key: attempts, value: "late" },
      ]),
    ).rejects.toThrow(/another process/);
    expect([await spread.get(certificate), await spread.get(attempts)]).toEqual(["of the successor", null]);
    await first.release();
  });

  test("a certificate that an operator deleted meanwhile may be written: nothing is overwritten", async () => {
    await spread.set(certificate, "old");
    const holder = await taken();
    await holder.read(certificate);
    await spread.del(certificate);
    await holder.write([{ key: certificate, value: "new" }]);
    expect(await spread.get(certificate)).toBe("new");
    await holder.release();
  });
});
