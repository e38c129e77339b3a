import { once } from "node:events";
import { mkdir, symlink } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { closeRedis, openRedis } from "@gatehouse/shared/redis-connection";
import { until } from "@gatehouse/testbed/until";
import { LogBed } from "./support/log-bed.ts";
import { STORY } from "./support/story.ts";

let bed: LogBed;

beforeAll(async () => {
  bed = await LogBed.open();
});
afterAll(async () => {
  await bed?.close();
});

function status(...args: string[]) {
  return bed.run(["gatehouse", "status", ...args]);
}

function read(): Record<string, unknown> & { names: Record<string, unknown>[] } {
  const { status: code, out, err } = status("--json");
  if (code !== 0) throw new Error(err);
  return JSON.parse(out) as ReturnType<typeof read>;
}

describe("gatehouse status", () => {
  test("of an empty server says what is wrong with that server", () => {
    const { redis, names, oauth, rates, dispatcher } = read();
    expect(redis).toMatchObject({
      aof: false,
      maxmemory_policy: "noeviction",
      version: expect.stringMatching(/^\d+\.\d+/),
    });
    expect((redis as { warnings: string[] }).warnings.join()).toContain("no append-only file");
    expect({ names, oauth, dispatcher }).toEqual({
      names: [],
      oauth: { client: 0, token: 0, grant: 0 },
      dispatcher: false,
    });
    expect(rates).toEqual({ minutes: 5, records: 0, requests: 0, server_errors: 0 });
  });

  test("warns of eviction and of a full server; a good one is quiet", async () => {
    await bed.redis.config("SET", "maxmemory-policy", "allkeys-lru");
    await bed.redis.config("SET", "maxmemory", "1000000");
    const { warnings } = read()["redis"] as { warnings: string[] };
    expect(warnings.join("\n")).toMatch(/maxmemory-policy is allkeys-lru[^]*% of maxmemory are used/);
    await bed.redis.config("SET", "maxmemory", "0");
    await bed.redis.config("SET", "maxmemory-policy", "noeviction");
    await bed.redis.config("SET", "appendonly", "yes");
    expect((read()["redis"] as { warnings: string[] }).warnings).toEqual([]);
    await bed.redis.config("SET", "appendonly", "no");
  });

  test("warns of files that Redis can't write, which has it refuse every write", async () => {
    const directory = join(bed.server.socketPath, "..");
    // What it gathers until the file is begun, so that this file is a disk without room.
    await mkdir(join(directory, "appendonlydir"), { recursive: true });
    await symlink("/dev/full", join(directory, "appendonlydir/temp-appendonly.aof.incr"));
    await bed.redis.config("SET", "appendonly", "yes");
    await until(async () => (await bed.redis.set("x", "1").catch(String)).includes("MISCONF"));
    await until(
      () => (read()["redis"] as { warnings: string[] }).warnings.join(),
      (warnings) => warnings.includes("append-only file can't be written"),
    );
    await bed.redis.config("SET", "appendonly", "no");
  });

  test("warns of a snapshot that failed", async () => {
    await mkdir(join(bed.server.socketPath, "../dump.rdb"));
    await bed.redis.bgsave();
    await until(async () => (await bed.redis.info("persistence")).includes("rdb_last_bgsave_status:err"));
    expect((read()["redis"] as { warnings: string[] }).warnings.join()).toContain("the last snapshot failed");
  });

  test("names with what answers, what is wrong, and who is connected", async () => {
    const path = join(bed.server.socketPath, "../instance.sock");
    const server = createServer().listen(path);
    await new Promise((resolve) => server.once("listening", resolve));
    const good = JSON.stringify({ target_url: "http://x" });
    await bed.redis.mset({
      "route:a.example.com": `unix:${path},unix:/nowhere.sock`,
      "proxy:a.example.com": good,
      "route:b.example.com": "13001;proxy=sometimes",
      "proxy:b.example.com": '{"colour":1,"target_url":"http://x"}',
      "proxy:c.example.com": good,
      "route:d.example.com": `unix:${path}`,
      "route:*.example.com": `unix:${path};proxy=off`,
      "route:moved.example.com": "unix:/nowhere.sock",
      "proxy:moved.example.com": good,
      "oauth:client:x": "{}",
      "oauth:client-grants:x": "{}",
    });
    await bed.redis.client("SETNAME", "gatehouse-instance-a.example.com");
    const moved = openRedis({ url: bed.server.url, clientName: "gatehouse-instance-moved.example.com" });
    await once(moved, "ready");
    const { names, oauth } = read();
    const { out } = status();
    server.close();
    await closeRedis(moved);
    await bed.redis.client("SETNAME", "test");
    expect(names.map(({ name, instance, problems }) => [name, instance, problems])).toEqual([
      ["*.example.com", null, []],
      ["a.example.com", true, ["nothing answers at unix:/nowhere.sock (ENOENT)"]],
      ["b.example.com", false, ["bad host config: colour", expect.stringContaining("bad route")]],
      ["c.example.com", false, ["host config without route: nobody gets there"]],
      ["d.example.com", null, ["route without host config: an instance there answers 404"]],
      [
        "moved.example.com",
        true,
        ["nothing answers at unix:/nowhere.sock (ENOENT)", expect.stringContaining("listens elsewhere")],
      ],
    ]);
    expect(oauth).toEqual({ client: 1, token: 0, grant: 0 });
    expect(out).toMatch(/^a\.example\.com +unix:\S+ +1 of 2 +connected +-$/m);
    expect(out).toContain("! c.example.com: host config without route");
  });

  test("rates of the last minutes, from the stored record", async () => {
    const now = Date.now();
    const request = { ...STORY[1]!, time: now - 60_000 };
    await bed.store([
      { ...request, time: now - 6 * 60_000 },
      request,
      request,
      { ...request, status: 502 },
      { ...STORY[0]!, time: now },
    ]);
    const { rates } = read();
    expect(rates).toEqual({ minutes: 5, records: 0.8, requests: 0.6, server_errors: 0.2 });
    expect(status().out).toContain("0.8 a minute over 5 min: 0.6 requests, 0.2 of them 5xx");
    const off = bed.run(["gatehouse", "status", "--json"], { LOG_REDIS_URL: "off" });
    expect(JSON.parse(off.out)).toMatchObject({
      rates: null,
      rates_problem: expect.stringContaining("LOG_REDIS_URL is off"),
    });
  });

  test("Redis away is exit 1, a further word exit 2", () => {
    expect(bed.run(["gatehouse", "status"], { REDIS_URL: "unix:///nowhere.sock" })).toMatchObject({
      status: 1,
      out: "",
    });
    expect(status("more").status).toBe(2);
  });
});
