import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { parseSnapshot, SnapshotKeeper, type SnapshotKeeperOptions } from "../src/route-snapshot.ts";
import { until } from "@gatehouse/testbed/until";

let directory: string;
let path: string;
let problems: string[];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-snapshot-"));
  path = join(directory, "routes.json");
  problems = [];
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

function keeper(routes: Map<string, string>, options: Partial<SnapshotKeeperOptions> = {}): SnapshotKeeper {
  return new SnapshotKeeper({
    path,
    intervalMs: 10,
    source: {
      isComplete: true,
      routeNames: () => [...routes.keys()],
      textOf: (name) => routes.get(name),
    },
    onProblem: (problem) => problems.push(problem),
    ...options,
  });
}

describe("a snapshot", () => {
  test("holds the routes in their order, through a file of mode 0600", async () => {
    const routes = new Map([
      ["b.example", '10.0.0.7:1,unix:/run/a"b\\.sock;proxy=off'],
      ["*.example", "2"],
      ["*", "bad value ✗"],
    ]);
    const first = keeper(routes);
    first.changed();
    await first.close();
    expect(await keeper(new Map()).load()).toEqual({ isComplete: true, routes: [...routes] });
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(problems).toEqual([]);
  });

  test("of no routes, and of very many, is whole", async () => {
    for (const count of [0, 5_000]) {
      const routes = new Map(Array.from({ length: count }, (_, at) => [`h${at}.example`, `${at}`]));
      const some = keeper(routes);
      some.changed();
      await some.close();
      expect((await keeper(new Map()).load())?.routes).toHaveLength(count);
    }
  });

  test("is written after the interval without being closed, and once for many changes", async () => {
    const routes = new Map([["a.example", "1"]]);
    let renderings = 0;
    const some = keeper(routes, {
      source: {
        isComplete: false,
        routeNames: () => {
          renderings += 1;
          return [...routes.keys()];
        },
        textOf: (name) => routes.get(name),
      },
    });
    for (let change = 0; change < 100; change += 1) some.changed();
    await until(async () => (await some.load()) !== undefined);
    expect(renderings).toBe(1);
    routes.set("a.example", "2");
    some.changed();
    await some.close();
    expect(await some.load()).toEqual({ isComplete: false, routes: [["a.example", "2"]] });
    some.changed();
    await some.close();
    expect(renderings).toBe(2);
  });

  test("that was never written reads as none", async () => {
    expect(await keeper(new Map()).load()).toBeUndefined();
    expect(problems).toEqual([]);
  });
});

describe("a file that is not a snapshot", () => {
  const good = { format: "gatehouse-routes", version: 1, complete: true, routes: { "a.example": "1" } };
  const foreign: Record<string, unknown> = {
    "it is not JSON": '{"format":"gatehouse-routes","version":1,"comp',
    "it is no snapshot of routes": JSON.stringify({ ...good, format: "something else" }),
    "its version is 2, 1 is read": JSON.stringify({ ...good, version: 2 }),
    "a member is missing or of another type": JSON.stringify({ ...good, routes: [] }),
    '"Upper.example" is no route': JSON.stringify({ ...good, routes: { "Upper.example": "1" } }),
    '"a.example" is no route': JSON.stringify({ ...good, routes: { "a.example": 1 } }),
  };

  test.each(Object.entries(foreign))("is ignored and this is said: %s", async (problem, text) => {
    await writeFile(path, String(text));
    expect(await keeper(new Map()).load()).toBeUndefined();
    expect(problems).toEqual([`${path} is ignored: ${problem}`]);
  });

  test("differs from a good one by no more than that", () => {
    expect(parseSnapshot(JSON.stringify(good))).toEqual({ isComplete: true, routes: [["a.example", "1"]] });
    for (const text of ["null", "[]", "1", '"routes"']) {
      expect(parseSnapshot(text)).toBe("it is no snapshot of routes");
    }
  });

  test("nor can be read or written: this is said and nothing throws", async () => {
    await mkdir(path);
    const some = keeper(new Map([["a.example", "1"]]));
    expect(await some.load()).toBeUndefined();
    some.changed();
    await some.close();
    expect(problems).toHaveLength(2);
    expect(problems[0]).toMatch(/can't be read: .*EISDIR/);
    expect(problems[1]).toMatch(/can't be written: /);
    await expect(readFile(path)).rejects.toThrow(/EISDIR/);
  });
});
