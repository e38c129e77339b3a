import { once } from "node:events";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { startPrivateRedisCluster, type PrivateRedisCluster } from "@gatehouse/testbed/private-redis-cluster";
import type { LogRecord } from "../src/log-record.ts";
import { everyRecord, newestRecords, oldestKept } from "../src/record-query.ts";
import { closeRedis, openRedis, type RedisClient } from "../src/redis-connection.ts";
import { readSegments } from "../src/record-segments.ts";
import { RecordStore } from "../src/record-store.ts";
import { batchOf, NOON, requestRecord } from "./support/records.ts";
import { until } from "@gatehouse/testbed/until";

const DAY_MS = 86_400_000;
const bounds = { maxRecords: 1000, maxAgeMs: 30 * DAY_MS };

let server: PrivateRedis;
let redis: RedisClient;

beforeAll(async () => {
  server = await startPrivateRedis();
});
afterAll(async () => {
  await server?.stop();
});
beforeEach(async () => {
  redis = openRedis({ url: server.url, clientName: "test" });
  await once(redis, "ready");
});
afterEach(async () => {
  await redis.flushall();
  await closeRedis(redis);
});

/** Stores `count` records as one writer, in batches. */
class Writer {
  readonly store: RecordStore;
  #batch = 0;

  constructor(on: RedisClient = redis, within = bounds) {
    this.store = new RecordStore(on, within);
  }

  async write(records: readonly LogRecord[], number: number = ++this.#batch): Promise<void> {
    this.#batch = number;
    await this.store.append(number, batchOf(records));
  }

  async writeMany(count: number, fields: (n: number) => Partial<LogRecord> = () => ({})): Promise<void> {
    for (let first = 0; first < count; first += 50) {
      const length = Math.min(50, count - first);
      await this.write(Array.from({ length }, (_, n) => requestRecord(fields(first + n))));
    }
    await this.store.trimmed;
  }
}

async function stored(on: RedisClient = redis): Promise<LogRecord[]> {
  return await newestRecords(on, {}, { limit: 100_000 });
}

describe("storing records", () => {
  test("keeps them in order, across segments", async () => {
    await new Writer().writeMany(450, (n) => ({ path: `/${n}` }));
    expect((await stored()).map(({ path }) => path)).toEqual(Array.from({ length: 450 }, (_, n) => `/${n}`));
    expect((await readSegments(redis)).map(({ count }) => count)).toEqual([100, 100, 100, 100, 50]);
  });

  test("holds the bound, and drops the oldest with everything that points at them", async () => {
    const writer = new Writer();
    await writer.writeMany(5230, (n) => ({ path: `/${n}` }));
    const kept = await stored();
    expect(kept.length).toBeLessThanOrEqual(1000);
    expect(kept.length).toBeGreaterThanOrEqual(900);
    expect(kept.at(-1)?.path).toBe("/5229");
    expect(kept.map(({ path }) => path)).toEqual(
      Array.from({ length: kept.length }, (_, n) => `/${5230 - kept.length + n}`),
    );
    const segments = (await readSegments(redis)).map(({ number }) => number);
    const keys = await redis.keys("*");
    expect(new Set(keys.map((key) => /^log:\{(\d+)\}/.exec(key)?.[1] ?? key))).toEqual(
      new Set([...segments.map(String), "log:segments"]),
    );
    expect(await redis.zcard("log:segments")).toBe(segments.length);
  });

  test("ends records by age, whether anybody writes any more or not", async () => {
    await new Writer(redis, { maxRecords: 1000, maxAgeMs: 300 }).writeMany(20);
    for (const key of await redis.keys("log:{*")) expect(await redis.pttl(key)).toBeLessThanOrEqual(300);
    await until(async () => (await redis.keys("log:{*")).length === 0);
    expect(await stored()).toEqual([]);
    expect(await oldestKept(redis)).toBeUndefined();
    await new Writer().store.trim();
    await new Writer().writeMany(1);
    expect(await stored()).toHaveLength(1);
  });

  test("begins a segment when the last one has spanned a thirtieth of the age", async () => {
    const writer = new Writer();
    await writer.write([requestRecord({ time: NOON })]);
    await writer.write([requestRecord({ time: NOON + DAY_MS - 1 })]);
    await writer.write([requestRecord({ time: NOON + DAY_MS })]);
    expect((await readSegments(redis)).map(({ count }) => count)).toEqual([2, 1]);
    expect(await oldestKept(redis)).toBe(NOON);
  });

  test("a batch whose answer was lost is not stored twice, across a change of segment either", async () => {
    const writer = new Writer();
    const batch = Array.from({ length: 60 }, () => requestRecord());
    await writer.write(batch, 1);
    await writer.write(batch, 1);
    expect(await stored()).toHaveLength(60);
    await new Writer().writeMany(100);
    await writer.write(batch, 1);
    expect(await stored()).toHaveLength(160);
    await writer.write(batch, 2);
    expect(await stored()).toHaveLength(220);
  });

  test("several writers at once lose nothing and tear no batch", async () => {
    const names = ["a", "b", "c", "d"];
    await Promise.all(names.map((method) => new Writer().writeMany(220, (n) => ({ method, path: `/${n}` }))));
    const kept: LogRecord[] = [];
    for await (const batch of everyRecord(redis, {})) kept.push(...batch);
    for (const method of names) {
      const paths = kept.filter((record) => record.method === method).map(({ path }) => path);
      expect(paths).toHaveLength(220);
      expect(new Set(paths)).toEqual(new Set(Array.from({ length: 220 }, (_, n) => `/${n}`)));
    }
  });

  test("goes on after Redis was emptied", async () => {
    const writer = new Writer();
    await writer.writeMany(150);
    await redis.flushall();
    await writer.writeMany(20, () => ({ path: "/after" }));
    expect((await stored()).map(({ path }) => path)).toEqual(Array(20).fill("/after"));
  });

  test("a segment that lost a column takes no more, and is still read", async () => {
    const writer = new Writer();
    await writer.writeMany(10, () => ({ user: "octocat" }));
    await redis.del("log:{1}:column:user");
    await writer.writeMany(10, () => ({ user: "octocat" }));
    expect((await readSegments(redis)).map(({ count }) => count)).toEqual([10, 10]);
    expect(await newestRecords(redis, { user: "octocat" }, { limit: 100 })).toHaveLength(20);
  });

  test("what is no record of ours is passed over", async () => {
    await new Writer().writeMany(3);
    await redis.rpush("log:{1}:records", "garbage");
    expect(await stored()).toHaveLength(3);
    await redis.zadd("log:segments", 99, "99");
    expect(await stored()).toHaveLength(3);
  });

  test("a bound that was made smaller holds from the next start on", async () => {
    await new Writer().writeMany(800);
    await new Writer(redis, { ...bounds, maxRecords: 300 }).store.trim();
    expect((await stored()).length).toBeLessThanOrEqual(300);
  });
});

describe("on a Redis Cluster", () => {
  let cluster: PrivateRedisCluster;

  beforeAll(async () => {
    cluster = await startPrivateRedisCluster();
  }, 60_000);
  afterAll(async () => {
    await cluster?.stop();
  });

  test("segments are spread over the servers, stored, found and dropped whole", async () => {
    const nodes = cluster.nodes.map(({ host, port }) => `${host}:${port}`).join(",");
    const client = openRedis({ url: `redis+cluster://${nodes}`, clientName: "test" });
    try {
      await once(client, "ready");
      await new Writer(client).writeMany(3000, (n) => ({ path: `/${n}`, ip: `192.0.2.${n % 10}` }));
      const kept = await stored(client);
      expect(kept.length).toBeGreaterThanOrEqual(900);
      expect(kept.length).toBeLessThanOrEqual(1000);
      expect(kept.at(-1)?.path).toBe("/2999");
      const found = await newestRecords(client, { ip: "192.0.2.3" }, { limit: 5 });
      expect(found.map(({ path }) => path)).toEqual(["/2953", "/2963", "/2973", "/2983", "/2993"]);
      const segments = new Set((await readSegments(client)).map(({ number }) => String(number)));
      const held = (await cluster.keys()).flatMap((key) => /^log:\{(\d+)\}/.exec(key)?.[1] ?? []);
      expect(new Set(held)).toEqual(segments);
    } finally {
      await closeRedis(client);
    }
  });
});
