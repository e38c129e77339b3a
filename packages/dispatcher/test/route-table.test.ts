import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { isRouteName } from "../src/route-memory.ts";
import { until } from "@gatehouse/testbed/until";
import { HoldingProxy } from "./support/holding-proxy.ts";
import { ask, askNow, RoutesUnderTest } from "./support/routes-under-test.ts";

let routes: RoutesUnderTest;

beforeEach(async () => {
  routes = await RoutesUnderTest.start();
});

afterEach(async () => {
  await routes.stop();
});

/** Polls until the table gives that answer; returns the milliseconds it took. */
async function untilAnswer(
  table: Parameters<typeof ask>[0],
  expected: { name: string; word: string },
): Promise<number> {
  const start = performance.now();
  await until(async () => (await ask(table, expected.name)) === expected.word);
  return performance.now() - start;
}

async function setMany(count: number): Promise<void> {
  for (let at = 0; at < count; at += 1_000) {
    const pairs: string[] = [];
    for (let index = at; index < Math.min(count, at + 1_000); index += 1) {
      pairs.push(`route:h${index}.example`, String(1 + (index % 60_000)));
    }
    await routes.operator.mset(pairs);
  }
}

describe("a route of the wrong type", () => {
  test("is a bad one, and falls through to no wildcard", async () => {
    await routes.operator.mset("route:*.example", "1", "route:*", "2");
    await routes.operator.hset("route:a.example", "a", "b");
    const table = await routes.started();
    expect(await ask(table, "a.example")).toBe("bad");
    expect(routes.told).toEqual(["bad a.example: it is a hash, not a string"]);
    await routes.operator.set("route:a.example", "3");
    await untilAnswer(table, { name: "a.example", word: "127.0.0.1:3" });
    await routes.operator.multi().del("route:a.example").lpush("route:a.example", "a").exec();
    await untilAnswer(table, { name: "a.example", word: "bad" });
    await routes.operator.del("route:a.example");
    await untilAnswer(table, { name: "a.example", word: "127.0.0.1:1" });
  });

  test("as a wildcard refuses what it would have decided", async () => {
    await routes.operator.set("route:*", "2");
    await routes.operator.hset("route:*.example", "a", "b");
    const table = await routes.started();
    expect(await ask(table, "a.example")).toBe("bad");
    expect(await ask(table, "a.other")).toBe("127.0.0.1:2");
  });

  test("is looked for in one more command a batch, and only where a name has no route", async () => {
    await setMany(20);
    const table = await routes.started();
    expect(await ask(table, "h0.example")).toBe("127.0.0.1:1"); // from here on the wildcard and the default are known too
    const before = await routes.calls("exists");
    expect(await ask(table, "h1.example")).toBe("127.0.0.1:2");
    const names = Array.from({ length: 50 }, (_, index) => `nobody-${index}.example`);
    const answers = await Promise.all(names.map((name) => ask(table, name)));
    expect(new Set(answers)).toEqual(new Set(["none"]));
    expect(await routes.calls("exists")).toBe(before + 1);
    await Promise.all(names.map((name) => ask(table, name)));
    expect(await routes.calls("exists")).toBe(before + 1);
    expect(await routes.calls("type")).toBe(0);
  });
});

describe("a change in Redis", () => {
  test("SET is live and DEL refused in well under a second, though the name was known otherwise", async () => {
    const table = await routes.started();
    const name = "simple.example.com";
    let slowestMs = 0;
    for (let port = 13_001; port <= 13_020; port += 1) {
      expect(await ask(table, name)).toBe("none");
      await routes.operator.set(`route:${name}`, String(port));
      slowestMs = Math.max(slowestMs, await untilAnswer(table, { name, word: `127.0.0.1:${port}` }));
      await routes.operator.del(`route:${name}`);
      slowestMs = Math.max(slowestMs, await untilAnswer(table, { name, word: "none" }));
    }
    expect(slowestMs).toBeLessThan(1_000);
  });

  test("is read without being asked for when the route was known", async () => {
    await routes.operator.set("route:a.example", "1");
    const table = await routes.started();
    expect(await ask(table, "nobody.example")).toBe("none"); // from here on the wildcard and the default are known too
    await until(() => askNow(table, "a.example") === "127.0.0.1:1");
    const reads = await routes.calls("mget");
    await routes.operator.set("route:a.example", "2");
    await until(async () => (await routes.calls("mget")) > reads);
    await until(() => askNow(table, "a.example") === "127.0.0.1:2");
    expect(await routes.calls("mget")).toBe(reads + 1);
  });

  test("FLUSHALL ends every route", async () => {
    await routes.operator.mset("route:a.example", "1", "route:*", "2");
    const table = await routes.started();
    expect(await ask(table, "a.example")).toBe("127.0.0.1:1");
    await routes.operator.flushall();
    await untilAnswer(table, { name: "a.example", word: "none" });
    await routes.operator.set("route:a.example", "3");
    await untilAnswer(table, { name: "a.example", word: "127.0.0.1:3" });
  });

  test("is trusted no more from the moment it is told, however long the new value takes", async () => {
    await routes.operator.set("route:a.example", "1");
    const table = await routes.started();
    await until(() => askNow(table, "a.example") === "127.0.0.1:1");
    // The server goes on telling what was written while it serves no command.
    await routes.operator.multi().set("route:a.example", "2").call("CLIENT", "PAUSE", "500", "ALL").exec();
    await until(() => askNow(table, "a.example") === "later");
    expect(await ask(table, "a.example")).toBe("127.0.0.1:2");
  });

  test("that overtakes the answer of a read in flight is not lost", async () => {
    const proxy = await HoldingProxy.start(routes.server.socketPath);
    const table = await routes.started({ redisUrl: proxy.url });
    expect(await ask(table, "b.example")).toBe("none");
    proxy.hold("mget");
    const overtaken = ask(table, "a.example.test");
    await until(() => proxy.held !== "");
    await routes.operator.set("route:a.example.test", "2");
    await until(() => proxy.passed("route:a.example.test") === 1);
    await routes.operator.ping(); // by then the table has read what it was told
    proxy.release();
    expect(await overtaken).toBe("none"); // true when it was asked, and not kept
    await untilAnswer(table, { name: "a.example.test", word: "127.0.0.1:2" });
    await table.close();
    await proxy.close();
  });

  test("of many in a row, the last one wins and stays, with lookups all the while", async () => {
    const table = await routes.started();
    let port = 0;
    for (let burst = 0; burst < 40; burst += 1) {
      const writes: Promise<unknown>[] = [];
      for (let write = 0; write < 25; write += 1) {
        port += 1;
        writes.push(routes.operator.set("route:race.example", String(port)));
        await ask(table, "race.example");
      }
      await Promise.all(writes);
      await untilAnswer(table, { name: "race.example", word: `127.0.0.1:${port}` });
      // An answer that was overtaken and kept after all would show now.
      for (let again = 0; again < 5; again += 1) {
        await routes.operator.ping();
        expect(await ask(table, "race.example")).toBe(`127.0.0.1:${port}`);
      }
    }
  });
});

describe("which route answers", () => {
  test("exact before one-label wildcard before default", async () => {
    await routes.operator.mset(["route:a.example.com", "1", "route:*.example.com", "2"]);
    await routes.operator.mset(["route:*", "3", "route:*.com", "4"]);
    const table = await routes.started();
    const answers = {
      "a.example.com": "127.0.0.1:1",
      "b.example.com": "127.0.0.1:2",
      "x.a.example.com": "127.0.0.1:3",
      "example.com": "127.0.0.1:4",
      localhost: "127.0.0.1:3",
      "": "127.0.0.1:3",
    };
    for (const [name, expected] of Object.entries(answers)) {
      expect([name, await ask(table, name)]).toEqual([name, expected]);
    }
    await routes.operator.del("route:a.example.com");
    await untilAnswer(table, { name: "a.example.com", word: "127.0.0.1:2" });
    await routes.operator.del("route:*.example.com");
    await untilAnswer(table, { name: "a.example.com", word: "127.0.0.1:3" });
    await routes.operator.del("route:*");
    await untilAnswer(table, { name: "a.example.com", word: "none" });
    expect(await ask(table, "")).toBe("none");
  });

  test("the answer names the route that it came from", async () => {
    await routes.operator.set("route:*.example.com", "10.0.0.7:443;proxy=off");
    const table = await routes.started();
    await until(() => askNow(table, "a.example.com") !== "none");
    expect(await ask(table, "a.example.com")).toBe("10.0.0.7:443");
    expect(await table.find(undefined)).toEqual({ kind: "none" });
  });

  test("a value that can't be used is bad, never the wildcard's, and said once for each change", async () => {
    await routes.operator.mset("route:a.example.com", "99999", "route:*.example.com", "1");
    const table = await routes.started();
    for (let time = 0; time < 3; time += 1) expect(await ask(table, "a.example.com")).toBe("bad");
    await until(() => routes.told.length === 1);
    expect(routes.told[0]).toMatch(/^bad a\.example\.com: .*port must be between 1 and 65535/);
    await routes.operator.set("route:a.example.com", "99999");
    await routes.operator.set("route:a.example.com", "nonsense;proxy=v9");
    await until(() => routes.told.length === 2);
    expect(await ask(table, "a.example.com")).toBe("bad");
    await routes.operator.set("route:a.example.com", "2");
    await untilAnswer(table, { name: "a.example.com", word: "127.0.0.1:2" });
    expect(routes.told).toHaveLength(2);
  });

  test("a huge value is bad and not kept whole", async () => {
    await routes.operator.set("route:a.example.com", "1,".repeat(500_000));
    const table = await routes.started();
    expect(await ask(table, "a.example.com")).toBe("bad");
    expect(routes.told[0]).toMatch(/the value has 1000000 characters/);
  });

  test("keys that name no host are nobody's route", async () => {
    const names = ["UPPER.example", "", "a b.example", "*.*.example", "a..example", "*.", "10.0.0.1", "a.*"];
    for (const name of names) {
      expect([name, isRouteName(name)]).toEqual([name, false]);
      await routes.operator.set(`route:${name}`, "not a route");
    }
    await routes.operator.set("route:a.example", "1");
    const table = await routes.started();
    expect(await ask(table, "upper.example")).toBe("none");
    expect(await ask(table, "a.example")).toBe("127.0.0.1:1");
    expect(routes.told).toEqual([]);
  });
});

describe("what a lookup costs", () => {
  test("nothing in Redis for a name that was seen, with or without a route", async () => {
    await routes.operator.set("route:a.example", "1");
    const table = await routes.started();
    await ask(table, "nobody.example");
    await ask(table, "a.example");
    const reads = await routes.calls("mget");
    for (let time = 0; time < 100; time += 1) {
      expect(askNow(table, "nobody.example")).toBe("none");
      expect(askNow(table, "a.example")).toBe("127.0.0.1:1");
    }
    expect(await routes.calls("mget")).toBe(reads);
  });

  test("one command for a crowd that asks for one new name", async () => {
    const table = await routes.started();
    const reads = await routes.calls("mget");
    const answers = await Promise.all(Array.from({ length: 200 }, () => ask(table, "crowd.example")));
    expect(new Set(answers)).toEqual(new Set(["none"]));
    expect(await routes.calls("mget")).toBe(reads + 1);
  });

  test("routes stay in memory whatever names are invented", async () => {
    await setMany(50);
    const table = await routes.started({ maxKeys: 50, maxAbsentNames: 50 });
    await ask(table, "h0.example");
    for (let at = 0; at < 3_000; at += 100) {
      const invented = Array.from({ length: 100 }, (_, index) => ask(table, `n${at + index}.invented`));
      expect(new Set(await Promise.all(invented))).toEqual(new Set(["none"]));
    }
    for (let at = 0; at < 50; at += 1) expect(askNow(table, `h${at}.example`)).toBe(`127.0.0.1:${1 + at}`);
  });

  test("more routes than fit are read when asked for, and stay current", async () => {
    await setMany(20_000);
    const table = await routes.started({ maxKeys: 500 });
    for (const at of [0, 7_000, 13_333, 19_999]) {
      expect(await ask(table, `h${at}.example`)).toBe(`127.0.0.1:${1 + at}`);
      await routes.operator.set(`route:h${at}.example`, "9");
      await untilAnswer(table, { name: `h${at}.example`, word: "127.0.0.1:9" });
    }
    await setMany(20_000);
    await untilAnswer(table, { name: "h19999.example", word: "127.0.0.1:20000" });
    const reads = await routes.calls("mget");
    await Promise.all(Array.from({ length: 2_000 }, (_, at) => ask(table, `h${at}.example`)));
    // What fits was never more than the bound: most of these had to be read.
    expect(await routes.calls("mget")).toBeGreaterThan(reads);
  });
});
