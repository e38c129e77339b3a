import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { z } from "zod";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { hashSecret, isSecretHash, secretMatches } from "../src/client-record.ts";
import { parseHostname, type Hostname } from "../src/hostname.ts";
import { readRecord, replaceRecord, updateRecord } from "../src/oauth-record.ts";
import { closeRedis, openRedis } from "../src/redis-connection.ts";

let store: PrivateRedis;
let redis: ReturnType<typeof openRedis>;
beforeAll(async () => {
  store = await startPrivateRedis();
  redis = openRedis({ url: store.url, clientName: "records" });
  await once(redis, "ready");
});
afterAll(async () => {
  await closeRedis(redis);
  await store.stop();
});

const schema = z.object({ hostname: z.string(), count: z.number() });
const hostname = name("mine.example.com");

function name(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new TypeError(text);
  return parsed.hostname;
}

describe("an OAuth record", () => {
  test.each([
    ["of another hostname", JSON.stringify({ hostname: "other.example.com", count: 1 })],
    ["without a hostname", JSON.stringify({ count: 1 })],
    ["of another shape", JSON.stringify({ hostname, count: "1" })],
    ["that is no JSON", "{"],
    ["that is null", "null"],
  ])("%s is none", async (_case, text) => {
    await redis.set("record:bad", text);
    expect(await readRecord(redis, "record:bad", { hostname, schema })).toBeUndefined();
  });

  test("is replaced only while it is what was read", async () => {
    await redis.set("record:swap", "one", "EX", 100);
    expect(await replaceRecord(redis, "record:swap", { from: "other", to: "two" })).toBe(false);
    expect(await replaceRecord(redis, "record:swap", { from: "one", to: "two" })).toBe(true);
    expect(await redis.get("record:swap")).toBe("two");
    expect(await redis.ttl("record:swap")).toBeGreaterThan(90);
    await replaceRecord(redis, "record:swap", { from: "two", to: "three", seconds: 1000 });
    expect(await redis.ttl("record:swap")).toBeGreaterThan(900);
    expect(await replaceRecord(redis, "record:absent", { from: "", to: "x" })).toBe(false);
  });

  test("that fifty change at once has seen all fifty", async () => {
    await redis.set("record:count", JSON.stringify({ hostname, count: 0 }));
    const change = (value: z.infer<typeof schema>) => ({ ...value, count: value.count + 1 });
    await Promise.all(
      Array.from(
        { length: 50 },
        async () => await updateRecord(redis, "record:count", { hostname, schema, change }),
      ),
    );
    const stored = await readRecord(redis, "record:count", { hostname, schema });
    expect(stored?.value.count).toBe(50);
  });

  test("that is gone is not made by an update", async () => {
    const change = (value: z.infer<typeof schema>) => value;
    expect(await updateRecord(redis, "record:gone", { hostname, schema, change })).toBeUndefined();
    expect(await redis.exists("record:gone")).toBe(0);
  });
});

describe("a client's secret", () => {
  test("is known by its hash, which is not taken for it", () => {
    const hash = hashSecret("a-secret");
    expect(isSecretHash(hash)).toBe(true);
    expect(isSecretHash("a-secret")).toBe(false);
    expect(secretMatches(hash, "a-secret")).toBe(true);
    expect(secretMatches(hash, "another")).toBe(false);
    expect(secretMatches(hash, hash)).toBe(false);
    expect(secretMatches("", "")).toBe(false);
  });
});
