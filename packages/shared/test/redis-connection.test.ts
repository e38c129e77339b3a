import { afterEach, describe, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { closeRedis, openRedis, type RedisClient } from "../src/redis-connection.ts";
import { parseRedisUrl } from "../src/redis-url.ts";
import { until } from "@gatehouse/testbed/until";

describe("a Redis URL", () => {
  test("names a host, a port and a database", () => {
    expect(parseRedisUrl("redis://cache.internal")).toEqual({ host: "cache.internal", port: 6379, db: 0 });
    expect(parseRedisUrl("redis://[fd00::7]:7000/3")).toEqual({ host: "fd00::7", port: 7000, db: 3 });
  });

  test("carries credentials, percent-decoded", () => {
    const parsed = parseRedisUrl("redis://gate:p%40ss%2Fword@10.0.0.7:6380/1");
    expect(parsed).toMatchObject({ username: "gate", password: "p@ss/word", host: "10.0.0.7" });
    expect(parseRedisUrl("redis://:secret@h")).toEqual({ password: "secret", host: "h", port: 6379, db: 0 });
    expect(parseRedisUrl("unix:///run/redis.sock?username=gate&password=p%40ss")).toEqual({
      username: "gate",
      password: "p@ss",
      path: "/run/redis.sock",
      db: 0,
    });
  });

  test("asks for TLS with rediss", () => {
    expect(parseRedisUrl("rediss://cache.internal:6380")).toMatchObject({ port: 6380, tls: {} });
    expect(parseRedisUrl("redis://cache.internal")).not.toHaveProperty("tls");
  });

  test("names a unix socket by its path", () => {
    expect(parseRedisUrl("unix:///run/a%20b/redis.sock?db=2")).toEqual({
      path: "/run/a b/redis.sock",
      db: 2,
    });
  });

  test("names Sentinels and what they call the server", () => {
    expect(
      parseRedisUrl("redis+sentinel://gate:p%40ss@10.0.0.7,[fd00::7]:26380/main/3?sentinel_password=x"),
    ).toEqual({
      username: "gate",
      password: "p@ss",
      sentinelPassword: "x",
      sentinels: [
        { host: "10.0.0.7", port: 26_379 },
        { host: "fd00::7", port: 26_380 },
      ],
      name: "main",
      db: 3,
      failoverDetector: true,
    });
    expect(parseRedisUrl("rediss+sentinel://a.example/main")).toMatchObject({
      tls: {},
      enableTLSForSentinelMode: true,
    });
  });

  test("of any other kind is refused", () => {
    const refused = [
      "",
      "localhost:6379",
      "http://localhost",
      "redis://",
      "redis://h/one",
      "unix://",
      "unix:///",
      "unix://host/run/redis.sock",
      "unix:///run/redis.sock?db=x",
      "redis://%zz@h",
      "redis+sentinel://",
      "redis+sentinel://h",
      "redis+sentinel://h/",
      "redis+sentinel://h,/main",
      "redis+sentinel://h/main/x",
      "redis+sentinel://h/main/0/more",
      "redis+sentinel://%zz@h/main",
    ];
    for (const text of refused) expect([text, parseRedisUrl(text)]).toEqual([text, undefined]);
    expect(() => openRedis({ url: "http://:hunter2@h", clientName: "test" })).toThrow(TypeError);
    expect(() => openRedis({ url: "http://:hunter2@h", clientName: "test" })).not.toThrow(/hunter2/);
  });
});

describe("a connection", () => {
  let server: PrivateRedis;
  let redis: RedisClient;

  afterEach(async () => {
    await closeRedis(redis);
    await server.stop();
  });

  test("rejects at once while the server is away, and works again when it is back", async () => {
    server = await startPrivateRedis();
    const errors: Error[] = [];
    redis = openRedis({
      url: server.url,
      clientName: "test-connection",
      onError: (error) => errors.push(error),
    });
    await until(() => redis.status === "ready");
    await redis.set("a", "1");
    expect(await redis.client("GETNAME")).toBe("test-connection");

    await server.kill();
    await until(() => errors.length >= 2);
    const asked = performance.now();
    await expect(redis.get("a")).rejects.toThrow(/writeable|closed/);
    expect(performance.now() - asked).toBeLessThan(500);

    await server.restart();
    await until(() => redis.status === "ready");
    expect(await redis.get("a")).toBeNull();
  });

  test("rejects what was in flight as soon as the connection is gone, without sending it again", async () => {
    server = await startPrivateRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
    redis = openRedis({ url: server.url, clientName: "test-in-flight" });
    await until(() => redis.status === "ready");
    await server.kill("SIGSTOP");
    const asked = performance.now();
    const inFlight = redis.incr("counter").catch((error: Error) => error.message);
    await server.kill("SIGKILL");
    expect(await inFlight).toMatch(/max retries/);
    expect(performance.now() - asked).toBeLessThan(1_000);
    await server.restart();
    await until(() => redis.status === "ready");
    expect(await redis.get("counter")).toBeNull();
  });

  test("to a frozen server fails within seconds, and closes although nobody answers", async () => {
    server = await startPrivateRedis();
    redis = openRedis({ url: server.url, clientName: "test-frozen" });
    await until(() => redis.status === "ready");
    await server.kill("SIGSTOP");
    const asked = performance.now();
    await expect(redis.incr("counter")).rejects.toThrow(/timed out|max retries/);
    expect(performance.now() - asked).toBeLessThan(4_000);
    await closeRedis(redis);
    expect(performance.now() - asked).toBeLessThan(6_000);
  });
});
