/** A key of the wrong type, as one HSET by hand leaves it, is a bad value of that key and nobody else's trouble. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { CommandBed } from "./support/command-bed.ts";

const GOOD = "good.localhost";
const BAD = "zz.localhost";
let bed: CommandBed;
let directory: string;

beforeAll(async () => {
  bed = await CommandBed.open();
  directory = await mkdtemp("/tmp/gatehouse-wrong-type-");
});
beforeEach(async () => {
  await bed.redis.flushall();
  for (const name of [GOOD, BAD]) {
    await bed.redis.set(`proxy:${name}`, '{"target_url":"http://127.0.0.1:9"}');
    await bed.redis.set(`route:${name}`, "9");
  }
});
afterAll(async () => {
  await bed?.close();
  if (directory !== undefined) await rm(directory, { recursive: true, force: true });
});

async function hash(key: string): Promise<void> {
  await bed.redis.multi().del(key).hset(key, "a", "b").exec();
}

describe("what lists many shows the others, and what is wrong", () => {
  const EVERY_KEY = [
    `route:${BAD}`,
    `proxy:${BAD}`,
    `cert:${BAD}`,
    "oauth:client:zz",
    "oauth:token:zz",
    "oauth:grant:zz",
  ];

  test.each(EVERY_KEY)("%s", async (key) => {
    await hash(key);
    const lists = [
      "status",
      "host list",
      "route list",
      "cert show --all",
      "client list",
      "token list",
      "grant list",
    ];
    for (const list of lists)
      expect([list, bed.run(...list.split(" "))]).toMatchObject([list, { status: 0, err: "" }]);
    expect(bed.run("host", "list").out).toContain(GOOD);
  });

  test("route", async () => {
    await hash(`route:${BAD}`);
    expect(bed.run("route", "list").out).toMatch(/zz\.localhost .* it is a hash, not a string/);
    expect(bed.run("host", "list").out).toMatch(/zz\.localhost .* bad route/);
    expect(bed.run("status").out).toContain(`${BAD}: bad route: it is a hash, not a string`);
  });

  test("host config", async () => {
    await hash(`proxy:${BAD}`);
    expect(bed.run("host", "list").out).toMatch(/zz\.localhost .* bad config: proxy:zz\.localhost/);
    expect(bed.run("status").out).toContain(`${BAD}: bad host config: proxy:${BAD}`);
  });

  test("certificate", async () => {
    await hash(`cert:${BAD}`);
    expect(bed.run("cert", "show", "--all").out).toMatch(/zz\.localhost .* is a hash, not a string/);
    expect(bed.run("status").out).toContain(`${BAD}: certificate is a hash, not a string`);
  });
});

describe("what is about that key names it and its type", () => {
  test.each([
    [`proxy:${BAD}`, ["host", "show", BAD]],
    [`route:${BAD}`, ["route", "show", BAD]],
    [`cert:${BAD}`, ["cert", "show", BAD]],
    [`route:${BAD}`, ["host", "show", BAD]],
  ])("%s: %j shows it", async (key, command) => {
    await hash(key);
    const { status, out } = bed.run(...command);
    expect([status, out]).toEqual([0, expect.stringMatching(/zz\.localhost[^]*a hash/)]);
  });

  test.each([
    [`proxy:${BAD}`, ["host", "set", BAD, "--set", "maintenance=true"]],
    [`proxy:${BAD}`, ["host", "add", BAD, "--target", "http://127.0.0.1:9", "--replace", "--no-start"]],
    [`route:${BAD}`, ["host", "add", BAD, "--target", "http://127.0.0.1:9", "--no-start"]],
    [`route:${BAD}`, ["route", "set", BAD, "13001"]],
    ["oauth:client:zz", ["client", "show", "zz"]],
    ["oauth:token:zz", ["token", "show", "zz"]],
    ["oauth:grant:zz", ["grant", "show", "zz"]],
  ])("%s: %j changes nothing and ends with 78", async (key, command) => {
    await hash(key);
    const { status, err } = bed.run(...command);
    expect([status, err]).toEqual([
      78,
      expect.stringContaining(`${key}: must be a string (DEL ${key} takes it away), got a hash`),
    ]);
    expect(await bed.redis.type(key)).toBe("hash");
  });

  test("config export and config apply", async () => {
    const file = join(directory, "hosts.json");
    await writeFile(file, bed.run("config", "export").out);
    await hash(`route:${BAD}`);
    const exported = bed.run("config", "export");
    expect([exported.status, exported.err]).toEqual([
      78,
      expect.stringContaining(`${BAD}: its route must be a string, got a hash`),
    ]);
    const applied = bed.run("config", "apply", file, "--yes", "--no-start");
    expect([applied.status, applied.err]).toEqual([
      78,
      expect.stringContaining(`route:${BAD}: must be a string`),
    ]);
  });

  test("key rotate and the doctor", async () => {
    await hash(`oauth:key:${BAD}`);
    expect(bed.run("key", "rotate", BAD).err).toContain(`oauth:key:${BAD}`);
    await hash(`proxy:${BAD}`);
    expect(bed.run("doctor", BAD).out).toContain("proxy:zz.localhost must be a string");
  });

  test("host remove takes it away", async () => {
    await hash(`proxy:${BAD}`);
    await hash(`route:${BAD}`);
    expect(bed.run("host", "remove", BAD, "--yes", "--no-stop").status).toBe(0);
    expect(await bed.redis.exists(`proxy:${BAD}`, `route:${BAD}`)).toBe(0);
  });
});
