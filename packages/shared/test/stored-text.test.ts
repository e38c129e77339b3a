import { once } from "node:events";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { closeRedis, openRedis, type RedisClient } from "../src/redis-connection.ts";
import { readText, wrongTypeOf } from "../src/stored-text.ts";

let server: PrivateRedis;
let redis: RedisClient;

beforeAll(async () => {
  server = await startPrivateRedis();
  redis = openRedis({ url: server.url, clientName: "test" });
  await once(redis, "ready");
});
afterAll(async () => {
  await closeRedis(redis);
  await server.stop();
});

test("a string is read as it is, an absent key as null", async () => {
  await redis.set("proxy:a.example", "text");
  expect(await readText(redis, "proxy:a.example")).toBe("text");
  expect(await readText(redis, "proxy:absent.example")).toBeNull();
  expect(wrongTypeOf("text")).toBeUndefined();
});

test.each([
  ["a hash", (key: string) => redis.hset(key, "a", "b")],
  ["a list", (key: string) => redis.lpush(key, "a")],
  ["a zset", (key: string) => redis.zadd(key, 1, "a")],
])("%s is told by key and type", async (type, write) => {
  const key = `route:*.${type.slice(2)}.example`;
  await write(key);
  expect(wrongTypeOf((await readText(redis, key)) ?? "")).toEqual({ key, type });
});

test("a failure of Redis is no value", async () => {
  const away = openRedis({ url: "unix:///nonexistent/redis.sock", clientName: "test", isLazy: true });
  await expect(readText(away, "proxy:a.example")).rejects.toThrow(Error);
  await closeRedis(away);
});
