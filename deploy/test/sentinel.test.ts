/** A Redis that fails over under traffic: what was served goes on, and what is written afterwards counts. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import {
  startPrivateRedisSentinel,
  type PrivateRedisSentinel,
} from "@gatehouse/testbed/private-redis-sentinel";
import { startGatehouse, type Gatehouse } from "./support/gatehouse.ts";
import { exchange } from "./support/https-peer.ts";
import { until } from "@gatehouse/testbed/until";
import { UpstreamProcess } from "./support/upstream-process.ts";

const HOST = "known.localhost";
const LATER = "later.localhost";
const TIMEOUT_MS = 90_000;
/** Every client asks the Sentinels again and again meanwhile, which takes its time where every core is busy. */
const FOLLOWED_MS = 40_000;

const run = promisify(execFile);
let upstream: UpstreamProcess;
let redis: PrivateRedisSentinel;
let gatehouse: Gatehouse;

beforeAll(async () => {
  [upstream, redis] = await Promise.all([UpstreamProcess.start(), startPrivateRedisSentinel()]);
  gatehouse = await startGatehouse({
    hosts: [{ hostname: HOST, upstreamUrl: upstream.url }],
    redisUrl: redis.url,
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await gatehouse?.stop();
  await redis?.stop();
  await upstream?.kill();
});

async function visit(hostname: string, path: string): Promise<number> {
  return (await exchange(gatehouse, { hostname, path })).status;
}

test(
  "a failover under traffic costs no request, and the new master is followed",
  async () => {
    expect(await visit(HOST, "/hello")).toBe(200);
    const over = new AbortController();
    const statuses: number[] = [];
    const traffic = (async () => {
      for (let n = 0; !over.signal.aborted; n++) statuses.push(await visit(HOST, `/hello?${n}`));
    })();
    await redis.failOver();
    // Written to the new master, live without a restart.
    await until(
      () => gatehouse.configure(HOST, { target_url: upstream.url, certificate: "file", maintenance: true }),
      () => true,
    );
    await until(
      () => visit(HOST, "/maintained"),
      (status) => status === 503,
      FOLLOWED_MS,
    );
    over.abort();
    await traffic;
    expect(statuses.length).toBeGreaterThan(20);
    expect(statuses.every((status) => status === 200 || status === 503)).toBe(true);
    await gatehouse.configure(HOST, { target_url: upstream.url, certificate: "file" });
    await until(
      () => visit(HOST, "/hello"),
      (status) => status === 200,
    );
  },
  TIMEOUT_MS,
);

test(
  "a host that is added after the failover is served, and what came is on record there",
  async () => {
    await gatehouse.addHost({ hostname: LATER, upstreamUrl: upstream.url });
    await until(
      () => visit(LATER, "/after-failover"),
      (status) => status === 404,
    );
    const records = await until(
      async () => {
        const command = join(import.meta.dirname, "../../scripts/gatehouse");
        const env = { PATH: process.env["PATH"], REDIS_URL: redis.url };
        return (await run(command, ["log", "hostname", LATER], { env })).stdout;
      },
      (text) => text.includes("/after-failover"),
    );
    expect(records).toContain("404 GET /after-failover");
  },
  TIMEOUT_MS,
);
