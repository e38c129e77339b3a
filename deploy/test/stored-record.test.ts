/** The record as an operator meets it: real processes write it, the real command reads it. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { startGatehouse, type Gatehouse } from "./support/gatehouse.ts";
import { exchange } from "./support/https-peer.ts";
import { until } from "@gatehouse/testbed/until";
import { UpstreamProcess } from "./support/upstream-process.ts";

const HOST = "recorded.localhost";
const TIMEOUT_MS = 60_000;
const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";

const run = promisify(execFile);
let upstream: UpstreamProcess;
let elsewhere: PrivateRedis;
let gatehouse: Gatehouse;

beforeAll(async () => {
  [upstream, elsewhere] = await Promise.all([UpstreamProcess.start(), startPrivateRedis()]);
  gatehouse = await startGatehouse({
    hosts: [{ hostname: HOST, upstreamUrl: upstream.url }],
    redisArgs: ["--appendonly", "yes"],
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await gatehouse?.stop();
  await elsewhere?.stop();
  await upstream?.kill();
});

interface JsonRecord {
  readonly event: string;
  readonly component: string;
  readonly conn: string;
  readonly req: string;
  readonly path: string | null;
  readonly ip: string;
  readonly trace_id?: string;
}

async function log(args: readonly string[], url: string = gatehouse.redis.url): Promise<JsonRecord[]> {
  const command = join(import.meta.dirname, "../../scripts/gatehouse");
  const { stdout } = await run(command, ["log", ...args, "--json", "--limit", "10000"], {
    env: { PATH: process.env["PATH"], REDIS_URL: url },
    maxBuffer: 64 * 1024 * 1024,
  });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as JsonRecord);
}

/** The request of that path, once it is stored. */
async function requestOf(path: string, url?: string): Promise<JsonRecord> {
  const isIt = (record: JsonRecord): boolean => record.path === path && record.event === "request_ended";
  const records = await until(
    () => log(["hostname", HOST], url),
    (all) => all.some(isIt),
  );
  return records.find(isIt)!;
}

async function visit(path: string, headers: Record<string, string> = {}): Promise<number> {
  return (await exchange(gatehouse, { hostname: HOST, path, headers })).status;
}

describe("the stored record", () => {
  test("one connection id joins both tiers, one request id and the trace what belongs to a request", async () => {
    await visit("/joined", { traceparent: `00-${TRACE}-00f067aa0ba902b7-01` });
    const request = await requestOf("/joined");
    expect(request.trace_id).toBe(TRACE);
    const joined = await until(
      () => log(["connection", request.conn]),
      (records) => records.length === 2,
    );
    expect(joined.map(({ component, event }) => `${component} ${event}`)).toEqual([
      "proxy_handler request_ended",
      "dispatcher connection_ended",
    ]);
    expect(await log(["request", request.req])).toEqual([request]);
    expect((await log(["ip", "127.0.0.0/8"])).some(({ req }) => req === request.req)).toBe(true);
  });

  test("a process that is told to stop stores its last records first", async () => {
    await visit("/last-words");
    await gatehouse.instance(HOST).restart();
    const events = (await log(["ip", "0.0.0.0/0"])).concat(await log(["hostname", HOST]));
    expect(events.some(({ path }) => path === "/last-words")).toBe(true);
    expect((await log(["hostname", HOST])).map(({ event }) => event)).toEqual(
      expect.arrayContaining(["process_stopping", "process_stopped", "process_started"]),
    );
  });

  test("a Redis that stands still delays no request, and gets the records when it goes on", async () => {
    await visit("/before");
    await gatehouse.redis.kill("SIGSTOP");
    try {
      for (let n = 0; n < 50; n++) {
        const started = performance.now();
        expect(await visit(`/frozen-${n}`)).toBe(404);
        expect(performance.now() - started).toBeLessThan(1500);
      }
    } finally {
      await gatehouse.redis.kill("SIGCONT");
    }
    await requestOf("/frozen-0");
    await requestOf("/frozen-49");
    const paths = (await log(["hostname", HOST])).map(({ path }) => path);
    for (let n = 0; n < 50; n++) expect(paths.filter((path) => path === `/frozen-${n}`)).toHaveLength(1);
  });

  test("a Redis that was killed gets what came meanwhile when it is back, each record once", async () => {
    await visit("/alive");
    await requestOf("/alive");
    await gatehouse.redis.kill("SIGKILL");
    for (let n = 0; n < 20; n++) expect(await visit(`/killed-${n}`)).toBe(404);
    await gatehouse.redis.restart();
    await requestOf("/killed-19");
    const paths = (await log(["hostname", HOST])).map(({ path }) => path);
    for (let n = 0; n < 20; n++) expect(paths.filter((path) => path === `/killed-${n}`)).toHaveLength(1);
    expect(paths).toContain("/alive");
  });

  test("LOG_REDIS_URL puts it on a server of its own, and off leaves it to the console", async () => {
    const instance = gatehouse.instance(HOST);
    await instance.restart({ LOG_REDIS_URL: elsewhere.url });
    await visit("/elsewhere");
    await requestOf("/elsewhere", elsewhere.url);
    expect((await log(["hostname", HOST])).some(({ path }) => path === "/elsewhere")).toBe(false);

    const since = instance.records.count;
    await instance.restart({ LOG_REDIS_URL: "off" });
    await visit("/nowhere");
    await instance.awaitRecord(/GET \/nowhere/, { since });
    await instance.restart({ LOG_REDIS_URL: "" });
    await visit("/again");
    await requestOf("/again");
    const all = [...(await log(["hostname", HOST])), ...(await log(["hostname", HOST], elsewhere.url))];
    expect(all.some(({ path }) => path === "/nowhere")).toBe(false);
  });

  test("a server of the record that is away is said once on the console, and nothing else stops", async () => {
    const instance = gatehouse.instance(HOST);
    const since = instance.records.count;
    await instance.restart({ LOG_REDIS_URL: "unix:///nowhere/redis.sock" });
    await instance.awaitRecord(/\[WARN\] records wait, .*: redis: connect ENOENT/, { since });
    expect(await visit("/served")).toBe(404);
    expect(await instance.stop()).toBe(0);
    expect(instance.records.all(/records wait/, since)).toHaveLength(1);
    const [told] = instance.records.all(/records lost: redis did not take them in time/, since);
    expect(told?.headline).toMatch(/^⚠ \[WARN\] \d+ records lost/);
    await instance.start({ LOG_REDIS_URL: "" });
  });
});
