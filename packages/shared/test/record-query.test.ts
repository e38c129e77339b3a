import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import type { LogRecord } from "../src/log-record.ts";
import { recordTest, type RecordFilter } from "../src/record-filter.ts";
import { RecordFollower } from "../src/record-follower.ts";
import { endPosition, everyRecord, newestRecords, oldestKept } from "../src/record-query.ts";
import { closeRedis, openRedis, type RedisClient } from "../src/redis-connection.ts";
import { RecordStore } from "../src/record-store.ts";
import { anyRecord, batchOf, NOON, requestRecord } from "./support/records.ts";

let server: PrivateRedis;
let redis: RedisClient;
let written = 0;
let store: RecordStore;

beforeAll(async () => {
  server = await startPrivateRedis();
  redis = openRedis({ url: server.url, clientName: "test" });
  await once(redis, "ready");
});
afterAll(async () => {
  await closeRedis(redis);
  await server?.stop();
});

async function refill(records: readonly LogRecord[]): Promise<void> {
  await redis.flushall();
  store = new RecordStore(redis, { maxRecords: 10_000, maxAgeMs: 86_400_000 });
  for (let first = 0; first < records.length; first += 40) await append(records.slice(first, first + 40));
}

async function append(records: readonly LogRecord[]): Promise<void> {
  await store.append(++written, batchOf(records));
}

const filters: readonly RecordFilter[] = [
  {},
  { hostname: "a.example.com" },
  { user: "octocat" },
  { user: "github:2", level: "warn" },
  { clientId: "client_b", status: { from: 400, to: 599 } },
  { req: "req-1", conn: "c-2" },
  { ip: "0.0.0.0/1" },
  { ip: "8000::/1" },
  { slowMs: 5_000_000 },
  { level: "error", since: NOON + 20_000, until: NOON + 60_000 },
];

describe("asking for records", () => {
  test("gives what a look at every single one would give", async () => {
    const property = fc.asyncProperty(
      fc.array(anyRecord, { minLength: 1, maxLength: 500 }),
      async (records) => {
        await refill(records);
        for (const filter of filters) {
          const expected = records.filter(recordTest(filter));
          const all: LogRecord[] = [];
          for await (const batch of everyRecord(redis, filter)) all.push(...batch);
          expect(all).toHaveLength(expected.length);
          expect(new Set(all.map((record) => JSON.stringify(record)))).toEqual(
            new Set(expected.map((record) => JSON.stringify(sorted(record)))),
          );
          const page = await newestRecords(redis, filter, { limit: 7 });
          const newest = expected.slice(-7).toSorted((one, other) => one.time - other.time);
          expect(page).toEqual(newest);
        }
        expect(await oldestKept(redis)).toBe(Math.min(...records.map(({ time }) => time)));
      },
    );
    await fc.assert(property, { numRuns: 25 });
  });

  test("a value whose hash collides hides nothing", async () => {
    // FNV-1a gives both the same 32 bits.
    const victim = "costarring.example";
    const collider = collisionOf(victim);
    const mine = requestRecord({ hostname: victim });
    const theirs = Array.from({ length: 300 }, () => requestRecord({ hostname: collider }));
    await refill([mine, ...theirs]);
    expect(await newestRecords(redis, { hostname: victim }, { limit: 10 })).toEqual([mine]);
  });

  test("a page ends where it is told to", async () => {
    await refill(Array.from({ length: 250 }, (_, n) => requestRecord({ path: `/${n}` })));
    const end = await endPosition(redis);
    await append([requestRecord({ path: "/later" })]);
    const [last] = await newestRecords(redis, {}, { limit: 1, end });
    expect(last?.path).toBe("/249");
    expect(await newestRecords(redis, {}, { limit: 0 })).toEqual([]);
  });
});

describe("following", () => {
  async function following(follower: RecordFollower): Promise<string[]> {
    const paths: string[] = [];
    for (;;) {
      const { records, hasMore } = await follower.next();
      paths.push(...records.map(({ path = "" }) => path));
      if (!hasMore) return paths;
    }
  }

  test("tells every later record once, across segments", async () => {
    await refill(Array.from({ length: 30 }, () => requestRecord({ path: "/before" })));
    const follower = new RecordFollower(redis, {}, await endPosition(redis));
    expect(await following(follower)).toEqual([]);
    const seen: string[] = [];
    for (let batch = 0; batch < 30; batch++) {
      await append(Array.from({ length: 40 }, (_, n) => requestRecord({ path: `/${batch * 40 + n}` })));
      if (batch % 7 === 0) seen.push(...(await following(follower)));
    }
    seen.push(...(await following(follower)));
    expect(seen).toEqual(Array.from({ length: 1200 }, (_, n) => `/${n}`));
  });

  test("begins with a record that has nothing yet, and goes on after it was emptied", async () => {
    await refill([]);
    const follower = new RecordFollower(redis, { hostname: "a.example.com" }, await endPosition(redis));
    expect(await following(follower)).toEqual([]);
    await append([
      requestRecord({ path: "/other" }),
      requestRecord({ path: "/1", hostname: "a.example.com" }),
    ]);
    expect(await following(follower)).toEqual(["/1"]);
    await redis.flushall();
    expect(await following(follower)).toEqual([]);
    await append([requestRecord({ path: "/2", hostname: "a.example.com" })]);
    expect(await following(follower)).toEqual(["/2"]);
  });
});

/** In the order in which a stored record's fields come back. */
function sorted(record: LogRecord): LogRecord {
  const { time, level, component, event, ...rest } = record;
  return { time, level, component, event, ...rest };
}

/** Finds another name with the same hash, by the birthday of two halves. */
function collisionOf(name: string): string {
  const hash = (text: string, from = 0x811c9dc5): number => {
    let sum = from;
    for (const letter of text) sum = Math.imul(sum ^ letter.charCodeAt(0), 0x01000193);
    return sum >>> 0;
  };
  const target = hash(name);
  // FNV runs backwards too: the inverse of its prime undoes a letter.
  const inverse = 0x359c449b;
  const letters = "abcdefghijklmnopqrstuvwxyz0123456789";
  const word = (n: number): string =>
    Array.from({ length: 5 }, (_, at) => letters[Math.floor(n / 36 ** at) % 36]).join("");
  const ahead = new Map<number, string>();
  for (let n = 0; n < 200_000; n++) ahead.set(hash(word(n)), word(n));
  for (let n = 0; ; n++) {
    const tail = `${word(n)}.example`;
    let sum = target;
    for (const letter of tail.split("").toReversed()) {
      sum = (Math.imul(sum, inverse) ^ letter.charCodeAt(0)) >>> 0;
    }
    const head = ahead.get(sum);
    if (head !== undefined) return head + tail;
  }
}
