import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { CommandBed } from "./support/command-bed.ts";

const NAME = "simple.example.com";
let bed: CommandBed;

beforeAll(async () => {
  bed = await CommandBed.open();
});
afterEach(async () => {
  await bed.redis.flushall();
});
afterAll(async () => {
  await bed?.close();
});

describe("gatehouse route", () => {
  test("set, show, list, remove; each may be repeated", async () => {
    const value = "10.0.0.7:13001, [fd00::7]:13001;proxy=v1";
    expect(bed.run("route", "set", "Simple.example.com", value).out).toBe(
      `${NAME}: (no route) -> ${value}\n`,
    );
    expect(bed.run("route", "set", NAME, value).out).toContain("leads there already");
    expect(bed.run("route", "set", NAME, "13001").out).toBe(`${NAME}: ${value} -> 13001\n`);
    bed.run("route", "set", "*", "10.0.0.9:443;proxy=off");
    bed.run("route", "set", "*.example.com", "unix:/run/x.sock");
    await bed.redis.set("route:bad.example.com", "nonsense:");
    expect(bed.json("route", "list").map(({ name, value: leads }) => [name, leads])).toEqual([
      ["*", "10.0.0.9:443;proxy=off"],
      ["*.example.com", "unix:/run/x.sock"],
      ["bad.example.com", "nonsense:"],
      [NAME, "13001"],
    ]);
    expect(bed.run("route", "list").out).toMatch(/bad\.example\.com +nonsense: +target "nonsense:" is not/);
    expect(bed.json("route", "show", "*")).toEqual([
      { name: "*", value: "10.0.0.9:443;proxy=off", targets: ["10.0.0.9:443"], proxy: "off", problem: null },
    ]);
    expect(bed.json("route", "remove", "*")).toEqual([{ name: "*", removed: true }]);
    expect(bed.json("route", "remove", "*")).toEqual([{ name: "*", removed: false }]);
    expect(bed.run("route", "show", "*")).toMatchObject({ status: 1, err: "there is no route *\n" });
  });

  test("asks before it refuses a host", async () => {
    await bed.redis.mset({ [`route:${NAME}`]: "13001", [`proxy:${NAME}`]: "{}" });
    const asked = bed.run("route", "remove", NAME);
    expect([asked.status, asked.err]).toEqual([2, expect.stringContaining("has a host config")]);
    expect(await bed.redis.exists(`route:${NAME}`)).toBe(1);
    expect(bed.run("route", "remove", NAME, "--yes").status).toBe(0);
    expect(await bed.redis.keys("*")).toEqual([`proxy:${NAME}`]);
  });

  test.each([
    [["set", NAME], "route set takes NAME VALUE"],
    [["set", NAME, "0"], "the port must be between"],
    [["set", "*.*.example.com", "1"], "is no hostname"],
    [["set", "*x", "1"], "is no hostname"],
    [["show", ""], "is no hostname"],
  ])("%j is a usage error", async (args, message) => {
    const { status, err } = bed.run("route", ...args);
    expect([status, err]).toEqual([2, expect.stringContaining(message)]);
    expect(await bed.redis.keys("*")).toEqual([]);
  });
});
