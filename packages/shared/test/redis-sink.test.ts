import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import type { LogRecord } from "../src/log-record.ts";
import { RecordWriter, type RecordSink } from "../src/record-log.ts";
import { newestRecords } from "../src/record-query.ts";
import { closeRedis, openRedis } from "../src/redis-connection.ts";
import { RedisSink } from "../src/redis-sink.ts";
import { isRedisUrl } from "../src/redis-url.ts";
import { ListBatch, requestRecord } from "./support/records.ts";
import { until } from "@gatehouse/testbed/until";

let server: PrivateRedis;

beforeAll(async () => {
  server = await startPrivateRedis({ args: ["--appendonly", "yes", "--appendfsync", "always"] });
});
afterAll(async () => {
  await server?.stop();
});

class KeptSink implements RecordSink<ListBatch> {
  readonly name = "console";
  readonly kept: LogRecord[] = [];
  open(): ListBatch {
    return new ListBatch();
  }
  async write(batch: ListBatch): Promise<void> {
    this.kept.push(...batch.records);
  }
}

function openLog(maxQueuedRecords: number): { log: RecordWriter; console: KeptSink } {
  const console = new KeptSink();
  const redis = new RedisSink({
    url: server.url,
    clientName: "test",
    maxRecords: 100_000,
    maxAgeMs: 86_400_000,
  });
  const sinks = [console, redis];
  return {
    console,
    log: new RecordWriter({ level: "info", component: "instance", sinks, maxQueuedRecords }),
  };
}

async function stored(path: string): Promise<LogRecord[]> {
  const redis = openRedis({ url: server.url, clientName: "test" });
  await once(redis, "ready");
  const records = await newestRecords(redis, {}, { limit: 10_000 });
  await closeRedis(redis);
  return records.filter((record) => record.path === path || record.component === "instance");
}

describe("the stored record", () => {
  test("has everything by the end of the process", async () => {
    const { log } = openLog(10_000);
    for (let n = 0; n < 1500; n++) log.write(requestRecord({ path: "/all" }));
    await log.close(5000);
    expect(log.lanes.map(({ queued, written, lost }) => [queued, written, lost])).toEqual([
      [0, 1500, 0],
      [0, 1500, 0],
    ]);
    expect(await stored("/all")).toHaveLength(1500);
  });

  test("waits while Redis is away: nothing is lost within the bound, and nothing stands twice", async () => {
    const { log, console } = openLog(10_000);
    log.write(requestRecord({ path: "/away" }));
    await log.flush(5000);
    await server.kill("SIGKILL");
    for (let n = 1; n < 1000; n++) log.write(requestRecord({ path: "/away" }));
    await until(() => console.kept.some(({ event }) => event === "record_store_lost"));
    await server.restart();
    await until(() => log.lanes.every(({ queued }) => queued === 0));
    await log.close(5000);
    expect(log.lost).toBe(0);
    const events = (await stored("/away")).map(({ event }) => event);
    expect(events.filter((event) => event === "request_ended")).toHaveLength(1000);
    expect(events.filter((event) => event === "record_store_regained")).toHaveLength(1);
    expect(console.kept.filter(({ event }) => event === "record_store_lost")).toHaveLength(1);
  });

  test("counts what does not fit while Redis is away, and says it once", async () => {
    const { log } = openLog(500);
    await server.kill("SIGKILL");
    for (let n = 0; n < 3000; n++) log.write(requestRecord({ path: "/over" }));
    await server.restart();
    await until(() => log.lanes.every(({ queued }) => queued === 0));
    await log.close(5000);
    const records = await stored("/over");
    const kept = records.filter(({ path }) => path === "/over");
    const lost = log.lanes.find(({ sink }) => sink === "redis")?.lost ?? 0;
    expect(lost).toBeGreaterThan(2000);
    expect(kept.length + lost).toBe(3000);
    expect(
      records.filter(({ message }) => message === `${lost} records lost: redis did not keep up`),
    ).toHaveLength(1);
  });

  test("that can't be given the last records says so on the console, in time", async () => {
    const { log, console } = openLog(10_000);
    log.write(requestRecord({ path: "/last" }));
    await log.flush(5000);
    await server.kill("SIGSTOP");
    for (let n = 0; n < 10; n++) log.write(requestRecord({ path: "/last" }));
    const started = performance.now();
    await log.close(300);
    expect(performance.now() - started).toBeLessThan(3000);
    await server.kill("SIGCONT");
    expect(console.kept.at(-1)?.message).toMatch(/^1\d records lost: redis did not take them in time$/);
  });

  test.each([
    ["redis+cluster://127.0.0.1:7000,127.0.0.1:7001", true],
    ["rediss+cluster://user:pass@a.example:7000,b.example", true],
    ["unix:///run/redis.sock", true],
    ["redis+cluster://", false],
    ["redis+cluster://a.example/3", false],
    ["http://a.example", false],
  ])("%p as a place for it: %p", (url, isOne) => expect(isRedisUrl(url)).toBe(isOne));
});
