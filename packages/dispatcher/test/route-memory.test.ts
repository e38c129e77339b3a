import { expect, test } from "@jest/globals";
import { RouteMemory } from "../src/route-memory.ts";

function memoryOf(bounds: { maxRoutes?: number; maxAbsent?: number } = {}): {
  memory: RouteMemory;
  told: string[];
} {
  const told: string[] = [];
  const memory = new RouteMemory({
    maxRoutes: 100,
    maxAbsent: 100,
    ...bounds,
    onBadRoute: (name) => told.push(`bad ${name}`),
    onChanged: () => told.push("changed"),
  });
  return { memory, told };
}

test("what was learned is current until the next generation, and still there after it", () => {
  const { memory } = memoryOf();
  memory.learn("a.example", "1", memory.generation);
  memory.learn("b.example", undefined, memory.generation);
  for (const name of ["a.example", "b.example"]) expect(memory.isCurrent(memory.recall(name))).toBe(true);
  memory.beginGeneration();
  for (const name of ["a.example", "b.example"]) {
    expect(memory.recall(name)).toBeDefined();
    expect(memory.isCurrent(memory.recall(name))).toBe(false);
  }
});

test("a reading of an earlier generation is ignored", () => {
  const { memory, told } = memoryOf();
  const earlier = memory.generation;
  memory.beginGeneration();
  memory.learn("a.example", "1", earlier);
  expect(memory.recall("a.example")).toBeUndefined();
  expect(told).toEqual([]);
});

test("a distrusted route is no longer current but keeps its value; a distrusted absence is gone", () => {
  const { memory } = memoryOf();
  memory.learn("a.example", "1", memory.generation);
  memory.learn("b.example", undefined, memory.generation);
  memory.distrust("a.example");
  memory.distrust("b.example");
  expect(memory.isCurrent(memory.recall("a.example"))).toBe(false);
  expect(memory.textOf("a.example")).toBe("1");
  expect(memory.recall("b.example")).toBeUndefined();
});

test("a change is said once, the same value again is none", () => {
  const { memory, told } = memoryOf();
  memory.learn("a.example", "1", memory.generation);
  memory.learn("a.example", "1", memory.generation);
  memory.beginGeneration();
  memory.learn("a.example", "1", memory.generation);
  expect(told).toEqual(["changed"]);
  memory.learn("a.example", undefined, memory.generation);
  memory.learn("a.example", undefined, memory.generation);
  expect(told).toEqual(["changed", "changed"]);
});

test("a bad value is said once for each change to it, and again when it comes back", () => {
  const { memory, told } = memoryOf();
  for (const text of ["x", "x", "y", "1", "y", undefined, "y"]) {
    memory.learn("a.example", text, memory.generation);
    memory.distrust("a.example");
  }
  expect(told.filter((word) => word === "bad a.example")).toHaveLength(4);
});

test("absent names beyond their bound displace absent names only", () => {
  const { memory } = memoryOf({ maxRoutes: 2, maxAbsent: 3 });
  memory.learn("a.example", "1", memory.generation);
  memory.learn("b.example", "2", memory.generation);
  memory.isComplete = true;
  for (let at = 0; at < 10; at += 1) memory.learn(`n${at}.example`, undefined, memory.generation);
  expect(memory.routeNames()).toEqual(["a.example", "b.example"]);
  expect(memory.recall("n0.example")).toBeUndefined();
  expect(memory.recall("n9.example")).toBeDefined();
  expect(memory.isComplete).toBe(true);
});

test("a route beyond the bound displaces another, and the memory says that it is not complete", () => {
  const { memory } = memoryOf({ maxRoutes: 2 });
  memory.isComplete = true;
  for (const name of ["a.example", "b.example"]) memory.learn(name, "1", memory.generation);
  expect(memory.isComplete).toBe(true);
  memory.learn("c.example", "1", memory.generation);
  expect(memory.routeNames()).toEqual(["b.example", "c.example"]);
  expect(memory.isComplete).toBe(false);
});

test("a name moves between having a route and having none", () => {
  const { memory } = memoryOf();
  memory.learn("a.example", undefined, memory.generation);
  expect(memory.recall("a.example")?.answer.kind).toBe("none");
  memory.learn("a.example", "1", memory.generation);
  expect(memory.recall("a.example")?.answer.kind).toBe("route");
  memory.learn("a.example", undefined, memory.generation);
  expect(memory.recall("a.example")?.answer.kind).toBe("none");
  expect(memory.hasRoute("a.example")).toBe(false);
});
