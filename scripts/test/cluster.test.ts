import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { parseHostname } from "@gatehouse/shared/hostname";
import { closeRedis, openRedis, readyWithin, type RedisClient } from "@gatehouse/shared/redis-connection";
import { startPrivateRedisCluster, type PrivateRedisCluster } from "@gatehouse/testbed/private-redis-cluster";
import { writeEntry, everyEntry } from "../backup/backup-redis.ts";
import { removeHost, writeConfig, writeRoute } from "../hosts/host-writer.ts";
import { claimPort, releasePorts } from "../hosts/port-claims.ts";
import { purgeHost } from "../hosts/purge.ts";

let cluster: PrivateRedisCluster;
let redis: RedisClient;

beforeAll(async () => {
  cluster = await startPrivateRedisCluster();
  redis = openRedis({ url: cluster.url, clientName: "test" });
  await readyWithin(redis, 5000);
}, 60_000);
afterAll(async () => {
  if (redis) await closeRedis(redis);
  await cluster?.stop();
});

test("no command of ours needs two keys on one server, in scripts and transactions neither", async () => {
  const name = parseHostname("simple.example.com");
  if (!name.ok) throw new Error("no hostname");
  const { hostname } = name;
  const port = await claimPort(redis, hostname, 0);
  expect(await claimPort(redis, hostname, Date.now())).toBe(port);
  expect(await writeConfig(redis, { hostname, config: null }, { target_url: "http://x" })).toBe(true);
  const stored = await redis.get(`proxy:${hostname}`);
  expect(await writeConfig(redis, { hostname, config: stored }, { target_url: "http://y" })).toBe(true);
  expect(await writeRoute(redis, { name: hostname, from: null }, String(port))).toBe(true);
  const entries = [
    { key: `cert:${hostname}`, type: "string", value: "{}" },
    {
      key: "oauth:grant-members:g",
      type: "zset",
      value: { a: "1", b: "2.5" },
      expires_at_ms: Date.now() + 60_000,
    },
    { key: `oauth:key:${hostname}`, type: "string", value: JSON.stringify({ hostname }) },
  ] as const;
  for (const entry of entries) expect(await writeEntry(redis, entry, Date.now())).toBe(true);
  const listed: string[] = [];
  for await (const entry of everyEntry(redis)) listed.push(entry.key);
  expect(listed.sort()).toEqual((await cluster.keys()).sort());
  expect(listed).toHaveLength(6);
  await purgeHost(redis, hostname);
  expect(await removeHost(redis, hostname)).toEqual({ hadRoute: true, hadConfig: true });
  await releasePorts(redis, hostname);
  expect((await cluster.keys()).filter((key) => key.includes(hostname) && !key.startsWith("oauth:"))).toEqual(
    [],
  );
}, 60_000);
