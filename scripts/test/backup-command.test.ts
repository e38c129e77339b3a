import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { CommandBed } from "./support/command-bed.ts";

let bed: CommandBed;
let directory: string;
let file: string;

beforeAll(async () => {
  bed = await CommandBed.open();
  directory = await mkdtemp("/tmp/gatehouse-test-");
  file = join(directory, "backup");
});
afterEach(async () => {
  await bed.redis.flushall();
});
afterAll(async () => {
  await bed?.close();
  await rm(directory, { recursive: true, force: true });
});

/** Every key with its type, value and end: what a restore has to bring back. */
async function everything(): Promise<Record<string, unknown>> {
  const { redis } = bed;
  const all: Record<string, unknown> = {};
  for (const key of (await redis.keys("*")).sort((one, other) => (one < other ? -1 : 1))) {
    const type = await redis.type(key);
    const value =
      type === "string"
        ? await redis.get(key)
        : type === "hash"
          ? await redis.hgetall(key)
          : await redis.zrange(key, "0", "-1", "WITHSCORES");
    all[key] = { type, value, end: await redis.pexpiretime(key) };
  }
  return all;
}

async function seed(): Promise<void> {
  const { redis } = bed;
  await redis.mset({
    "route:a.example.com": "13001",
    "proxy:a.example.com": '{"target_url":"http://x","note":"ünï\\u0000\\n"}',
    "cert:a.example.com": "{}",
    "acme:account": "v1.sealed",
    "log:segments": "not in it",
    "foreign:key": "not ours",
  });
  await redis.set("oauth:token:t", '{"hostname":"a.example.com"}', "PXAT", Date.now() + 1_800_000);
  await redis.zadd("oauth:grant-members:g", 1_756_541_222.5, "oauth:token:t", 2, "oauth:refresh:r");
  await redis.pexpire("oauth:grant-members:g", 1_000_000);
  await redis.hset("host:ports", { 13001: "a.example.com 1" });
}

describe("gatehouse backup and restore", () => {
  test("bring everything of ours back, with its end, into an empty place; again only with --force", async () => {
    await seed();
    const backed = bed.run("backup", file);
    expect(backed.out).toContain("7 keys written");
    expect(backed.out).toContain("The secret key is not in it");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(["backup"]);
    await bed.redis.del("log:segments", "foreign:key");
    const before = await everything();
    await bed.redis.flushall();
    await bed.redis.set("foreign:key", "x");
    expect(bed.json("restore", file)).toEqual([expect.objectContaining({ keys: 7, ended: 0 })]);
    await bed.redis.del("foreign:key");
    expect(await everything()).toEqual(before);
    const again = bed.run("restore", file);
    expect([again.status, again.err]).toEqual([1, expect.stringContaining("--force")]);
    await bed.redis.set("route:a.example.com", "13999");
    await bed.redis.set("route:new.example.com", "13002");
    expect(bed.run("restore", file, "--force").status).toBe(0);
    const { "route:new.example.com": kept, ...rest } = await everything();
    expect([rest, kept]).toEqual([before, expect.objectContaining({ value: "13002" })]);
  });

  test("what has ended meanwhile stays away", async () => {
    await bed.redis.set("oauth:code:c", "{}", "PX", 60_000);
    bed.run("backup", file);
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace(/"expires_at_ms":\d+/, `"expires_at_ms":${Date.now() - 1}`));
    await bed.redis.flushall();
    expect(bed.json("restore", file)).toEqual([expect.objectContaining({ keys: 0, ended: 1 })]);
    expect(await bed.redis.keys("*")).toEqual([]);
  });

  test("a damaged file writes nothing", async () => {
    await seed();
    bed.run("backup", file);
    await bed.redis.flushall();
    const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
    const damaged: [string[], string][] = [
      [lines.slice(0, -1), "is cut off"],
      [[...lines.slice(0, -2), lines.at(-1) ?? ""], "is not what a backup holds"],
      [lines.slice(1), "must say gatehouse-backup/1"],
      [[], "is cut off"],
      [[lines[0] ?? "", '{"key":"log:x","type":"string","value":""}', '{"keys":1}'], "no key of ours"],
      [[lines[0] ?? "", '{"key":"route:x","type":"string","value":7}', '{"keys":1}'], "line 2 is not"],
    ];
    for (const [content, message] of damaged) {
      await writeFile(file, content.map((line) => `${line}\n`).join(""));
      const run = bed.run("restore", file);
      expect([run.status, run.out, run.err]).toEqual([1, "", expect.stringContaining(message)]);
    }
    expect(bed.run("restore", "/no/file").status).toBe(2);
    expect(bed.run("backup").status).toBe(2);
    expect(await bed.redis.keys("*")).toEqual([]);
  });

  test("what the format can't hold is told, and the former backup stays", async () => {
    await writeFile(file, "the former one");
    await bed.redis.rpush("oauth:odd", "x");
    expect(bed.run("backup", file)).toMatchObject({
      status: 1,
      err: expect.stringContaining("oauth:odd is a list"),
    });
    await bed.redis.del("oauth:odd");
    await bed.redis.set("oauth:odd", Buffer.from([0xff, 0xfe]));
    expect(bed.run("backup", file).status).toBe(1);
    expect(await readFile(file, "utf8")).toBe("the former one");
    expect(await readdir(directory)).toEqual(["backup"]);
  });
});
