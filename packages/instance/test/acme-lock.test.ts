import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
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
