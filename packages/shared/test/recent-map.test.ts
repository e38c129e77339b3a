import { setImmediate } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { RecentMap } from "../src/recent-map.ts";

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

test("holds what was set, up to its capacity, and drops the oldest", () => {
  const map = new RecentMap<number>(2);
  expect([map.set("a", 1), map.set("b", 2), map.set("c", 3)]).toEqual([undefined, undefined, 1]);
  expect(map.keys()).toEqual(["b", "c"]);
  expect([map.get("a"), map.get("b"), map.peek("c"), map.size, map.room]).toEqual([undefined, 2, 3, 2, 0]);
});

test("setting a key again keeps one entry and drops no other", () => {
  const map = new RecentMap<number>(2);
  map.set("a", 1);
  map.set("b", 2);
  expect(map.set("a", 3)).toBeUndefined();
  expect(map.keys()).toEqual(["b", "a"]);
});

test("an entry that is used is never dropped, whatever else comes", () => {
  const map = new RecentMap<number>(100);
  map.set("used", 1);
  for (let at = 0; at < 10_000; at += 1) {
    map.set(`other-${at}`, at);
    if (at % 25 === 0) expect([at, map.get("used")]).toEqual([at, 1]);
  }
  expect(map.size).toBe(100);
});

test("a map that was emptied drops its oldest again", () => {
  const map = new RecentMap<number>(2);
  for (const [at, key] of ["a", "b", "c"].entries()) map.set(key, at);
  map.clear();
  expect([map.size, [...map.values()]]).toEqual([0, []]);
  expect(["d", "e", "f", "g"].map((key, at) => map.set(key, at))).toEqual([undefined, undefined, 0, 1]);
  expect([map.keys(), [...map.values()]]).toEqual([
    ["f", "g"],
    [2, 3],
  ]);
});

test("looking without using does not keep an entry", () => {
  const map = new RecentMap<number>(10);
  map.set("seen", 1);
  for (let at = 0; at < 10; at += 1) {
    map.peek("seen");
    map.set(`other-${at}`, at);
  }
  expect(map.peek("seen")).toBeUndefined();
});

test("agrees with a plain map while there is room, in any order of calls", () => {
  const key = fc.constantFrom("a", "b", "c", "d");
  const step = fc.record({ call: fc.constantFrom("set", "get", "delete"), key, value: fc.nat() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const map = new RecentMap<number>(4);
      const plain = new Map<string, number>();
      for (const { call, key, value } of steps) {
        if (call === "set")
          expect([map.set(key, value), plain.set(key, value).size]).toEqual([undefined, map.size]);
        else if (call === "get") expect(map.get(key)).toBe(plain.get(key));
        else expect(map.delete(key)).toBe(plain.delete(key));
      }
      expect(map.keys().sort()).toEqual([...plain.keys()].sort());
      expect(map.keys().map((key) => map.peek(key))).toEqual([...map.values()]);
    }),
  );
});

test("what was deleted is not held, however many come and go", async () => {
  const map = new RecentMap<object>(1_000);
  const made = Array.from({ length: 10_000 }, (_, at) => {
    const value = { at };
    map.set(`key-${at}`, value);
    map.delete(`key-${at - 50}`);
    return new WeakRef(value);
  });
  await setImmediate(); // a WeakRef holds its target until the turn of its making is over
  collectGarbage();
  const held = made.filter((value) => value.deref() !== undefined);
  expect([map.size, held.length]).toEqual([50, 50]);
});

test("dropping costs the same however large the map is", () => {
  const microsecondsPerSet = (capacity: number): number => {
    const map = new RecentMap<number>(capacity);
    for (let at = 0; at < capacity; at += 1) map.set(`fill-${at}`, at);
    const start = performance.now();
    for (let at = 0; at < 20_000; at += 1) map.set(`more-${at}`, at);
    return ((performance.now() - start) * 1000) / 20_000;
  };
  microsecondsPerSet(1_000);
  // Stepping over emptied slots from the start each time took 50 us here; the bound leaves room for a rebuild and a busy machine.
  expect(microsecondsPerSet(100_000)).toBeLessThan(20);
});
