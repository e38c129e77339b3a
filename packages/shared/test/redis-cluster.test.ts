/** Keys of a real Cluster, followed and listed while its masters change. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { startPrivateRedisCluster, type PrivateRedisCluster } from "@gatehouse/testbed/private-redis-cluster";
import { closeRedis, openRedis, readyWithin, type RedisClient } from "../src/redis-connection.ts";
import { everyServer, onEveryServer, readStrings, readTexts } from "../src/redis-servers.ts";
import type { TrackedKeys } from "../src/redis-tracking.ts";
import { toldKeys } from "./support/told-keys.ts";
import { until } from "@gatehouse/testbed/until";

/** One of each third of the slots; see `slotOf`. */
const NAMES = ["route:b.example", "route:a.example", "route:e.example"] as const;

let cluster: PrivateRedisCluster;
let redis: RedisClient;
let tracked: TrackedKeys;
/** What the callbacks said, in order: `armed`, `lost`, `all`, or a key. */
let told: string[];

beforeAll(async () => {
  cluster = await startPrivateRedisCluster({ replicas: 1 });
  redis = openRedis({ url: cluster.url, clientName: "operator" });
  await readyWithin(redis, 5000);
}, 60_000);
beforeEach(async () => {
  told = [];
  tracked = toldKeys(told, { url: cluster.url });
  tracked.start();
  await until(() => tracked.armed);
});
afterEach(async () => {
  await tracked.close();
});
afterAll(async () => {
  await closeRedis(redis);
  await cluster?.stop();
});

async function slotOf(key: string): Promise<number> {
  return Number(await cluster.operators[1]?.call("CLUSTER", "KEYSLOT", key));
}

/** Proves with a write that invalidations of a key arrive. */
async function expectTold(key: string, value: string): Promise<void> {
  told.length = 0;
  await redis.set(key, value);
  await until(() => told.includes(key));
}

test("what is written on any master is told, and read back", async () => {
  const slots = await Promise.all(NAMES.map(slotOf));
  expect(slots.map((slot) => Math.floor(slot / Math.ceil(16_384 / 3)))).toEqual([0, 1, 2]);
  for (const name of NAMES) {
    await redis.set(name, name);
    await until(() => told.includes(name));
  }
  expect(await readStrings(redis, [...NAMES, "route:absent"])).toEqual([...NAMES, null]);
  await redis.hset("other:hash", "a", "b");
  const wrong = "(other:hash is a hash, not a string)";
  expect(await readTexts(redis, [...NAMES, "route:absent", "other:hash"])).toEqual([...NAMES, null, wrong]);
  expect(told[0]).toBe("armed");
  expect(told).not.toContain("lost");
});

test("every key is listed, whatever master it lies on", async () => {
  expect(await everyServer(redis)).toHaveLength(3);
  const found: string[] = [];
  for await (const key of onEveryServer(redis, async function* keysOf(server) {
    yield* await server.keys("route:*");
  }))
    found.push(key);
  expect(found.sort()).toEqual([...NAMES].sort());
});

test("a key that moves to another master is told there, and nothing is lost on the way", async () => {
  const [key] = NAMES;
  const slot = await slotOf(key);
  await cluster.moveSlot(slot, 0, 2);
  // Once the slots rest everything is distrusted once more, although no tracking was ever away.
  await until(() => told.filter((word) => word === "armed").length === 2);
  expect(told).not.toContain("lost");
  await expectTold(key, "moved");
  expect(await cluster.operators[2]?.get(key)).toBe("moved");
  await cluster.moveSlot(slot, 2, 0);
  await expectTold(key, "back");
});

test("whoever lists keys while slots move is told, instead of a list with holes", async () => {
  const slot = await slotOf(NAMES[1]);
  const list = async (): Promise<void> => {
    let isMoved = false;
    for await (const _ of onEveryServer(redis, async function* each(server) {
      yield* await server.keys("*");
    })) {
      if (!isMoved) await cluster.moveSlot(slot, 1, 2);
      isMoved = true;
    }
  };
  await expect(list()).rejects.toThrow(/slots .* moved/);
  await cluster.moveSlot(slot, 2, 1);
});

test("a master that dies is told as lost once, and its successor is followed without anybody's help", async () => {
  const [key] = NAMES;
  await expectTold(key, "before");
  // An answered write that the replica has not got yet dies with its master; WAIT is about those of its own connection.
  const operator = cluster.operators[0];
  await operator?.set(key, "before");
  expect(await operator?.wait(1, 5000)).toBe(1);
  const dies = cluster.failOver(0);
  await until(() => told.includes("lost"));
  expect(tracked.armed).toBe(false);
  await dies;
  const diedAt = performance.now();
  await until(() => tracked.armed);
  expect(performance.now() - diedAt).toBeLessThan(5000);
  expect(told.filter((word) => word === "lost" || word === "armed")).toEqual(["lost", "armed"]);
  expect(await redis.get(key)).toBe("before");
  await expectTold(key, "after");
}, 30_000);

test("a command that can't be sent rejects at once, and closing is quick, with no server left", async () => {
  for (const server of cluster.servers) await server.kill("SIGKILL");
  await until(() => told.includes("lost"));
  await until(
    async () =>
      await redis.get(NAMES[1]).then(
        () => false,
        () => true,
      ),
  );
  const start = performance.now();
  await expect(redis.get(NAMES[1])).rejects.toThrow("Connection is closed");
  await tracked.close();
  expect(performance.now() - start).toBeLessThan(1500);
  expect(told).toEqual(["armed", "lost"]);
}, 30_000);
