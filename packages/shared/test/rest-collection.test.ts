import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { RestCollection } from "../src/rest-collection.ts";

const MIB = 1024 ** 2;

/** Looks at these sizes in turn; what a collection leaves is one MiB. Returns after which looks it collected. */
function looksThatCollect(...sizes: readonly number[]): number[] {
  const collected: number[] = [];
  let size = 0;
  const collect = (): void => {
    collected.push(looks);
    size = MIB;
  };
  const collection = new RestCollection({ collect: collect as NodeJS.GCFunction, used: () => size });
  let looks = 0;
  for (const next of sizes) {
    looks += 1;
    size = next;
    collection.look();
  }
  return collected;
}

describe("memory at rest", () => {
  test("what the start has left is collected after two looks at rest, once", () => {
    const rest = 20 * MIB;
    expect(looksThatCollect(rest, rest, rest + 1, MIB, MIB, MIB + 1, MIB + 2)).toEqual([3]);
  });

  test("later it takes a minute at rest", () => {
    const busy = Array.from({ length: 20 }, (_, at) => (10 + at) * MIB);
    const rest = Array.from({ length: 100 }, () => 30 * MIB);
    expect(looksThatCollect(...busy, ...rest)).toEqual([busy.length + 61]);
  });

  test("while something is allocated it is not at rest", () => {
    expect(looksThatCollect(20 * MIB, 21 * MIB, 22 * MIB, 22 * MIB, 23 * MIB)).toEqual([]);
  });

  test("a collection of V8's own is a sign of traffic", () => {
    expect(looksThatCollect(20 * MIB, 20 * MIB, 12 * MIB, 12 * MIB)).toEqual([]);
  });

  test("little garbage is left where it is", () => {
    expect(looksThatCollect(7 * MIB, 7 * MIB, 7 * MIB, 7 * MIB)).toEqual([]);
  });

  test("the next collection comes five minutes later at the earliest", () => {
    const sizes = Array.from({ length: 400 }, () => 20 * MIB);
    expect(looksThatCollect(...sizes)).toEqual([3, 303]);
  });

  test("a large heap is left to V8: its connections would wait too long", () => {
    expect(looksThatCollect(49 * MIB, 49 * MIB, 49 * MIB, 49 * MIB)).toEqual([]);
  });

  test("a process that gathers garbage and rests gives it back", async () => {
    const module = join(import.meta.dirname, "../src/rest-collection.ts");
    const program = `
      import { RestCollection } from ${JSON.stringify(module)};
      let garbage = Array.from({ length: 200_000 }, (_, i) => ({ i, text: "x" + i }));
      garbage = undefined;
      new RestCollection({ collect: globalThis.gc }).start();
      const before = process.memoryUsage().heapTotal;
      setInterval(() => {
        const now = process.memoryUsage().heapTotal;
        if (now < before / 2) process.exit(0);
      }, 100);
      setTimeout(() => process.exit(1), 10_000);`;
    const flags = ["--expose-gc", "--experimental-strip-types", "--input-type=module", "--eval", program];
    const child = spawn(process.execPath, flags, { stdio: "inherit" });
    expect(await once(child, "exit")).toEqual([0, null]);
  });
});
