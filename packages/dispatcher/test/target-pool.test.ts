import { describe, expect, test } from "@jest/globals";
import { formatTarget, parseRoute, type Target } from "@gatehouse/shared/route";
import { TargetPool } from "../src/target-pool.ts";

const REFUSED = new Error("connect ECONNREFUSED");
const [A, B, C] = targetsOf("10.0.0.1:1,10.0.0.2:2,unix:/run/c.sock") as [Target, Target, Target];

function targetsOf(text: string): readonly Target[] {
  const parsed = parseRoute(text);
  if (!parsed.ok) throw new Error(parsed.problem);
  return parsed.route.targets;
}

/** A pool on a clock that the test turns, with what its callbacks said. */
function poolAt(): { pool: TargetPool; clock: { ms: number }; told: string[] } {
  const clock = { ms: 0 };
  const told: string[] = [];
  const pool = new TargetPool({
    now: () => clock.ms,
    onEjected: (target, error) => told.push(`ejected ${formatTarget(target)}: ${error.message}`),
    onReturned: (target) => told.push(`returned ${formatTarget(target)}`),
  });
  return { pool, clock, told };
}

function firstOf(pool: TargetPool): Target {
  const [first] = pool.order([A, B, C]);
  if (first === undefined) throw new Error("nothing was ordered");
  return first;
}

function eject(pool: TargetPool, target: Target): void {
  for (let attempt = 0; attempt < 3; attempt += 1) pool.failed(target, REFUSED);
}

describe("least connections", () => {
  test("puts the target with the fewest open connections first", () => {
    const { pool } = poolAt();
    pool.opened(A);
    pool.opened(A);
    pool.opened(B);
    expect(pool.order([A, B, C])).toEqual([C, B, A]);
  });

  test("counts a target over all routes that name it", () => {
    const { pool } = poolAt();
    for (const same of targetsOf("10.0.0.1:1")) pool.opened(same);
    for (let turn = 0; turn < 3; turn += 1) expect(pool.order([A, B])[0]).toBe(B);
  });

  test("forgets a connection when it closes, once", () => {
    const { pool } = poolAt();
    pool.opened(B);
    const close = pool.opened(A);
    pool.opened(A);
    close();
    close();
    pool.opened(B);
    expect(pool.order([A, B])).toEqual([A, B]);
  });

  test("takes turns among equals", () => {
    const { pool } = poolAt();
    const firsts = Array.from({ length: 6 }, () => formatTarget(firstOf(pool)));
    for (const target of [A, B, C]) {
      expect(firsts.filter((text) => text === formatTarget(target))).toHaveLength(2);
    }
  });

  test("shares many short connections evenly", () => {
    const { pool } = poolAt();
    const counts = new Map<Target, number>();
    for (let turn = 0; turn < 300; turn += 1) {
      const target = firstOf(pool);
      counts.set(target, (counts.get(target) ?? 0) + 1);
      pool.opened(target)();
    }
    expect([...counts.values()]).toEqual([100, 100, 100]);
  });
});

describe("a target that refuses", () => {
  test("is set aside after three failures in a row, and this is said once", () => {
    const { pool, told } = poolAt();
    pool.failed(A, REFUSED);
    pool.failed(A, REFUSED);
    expect(told).toEqual([]);
    pool.failed(A, REFUSED);
    pool.failed(A, REFUSED);
    expect(told).toEqual(["ejected 10.0.0.1:1: connect ECONNREFUSED"]);
    expect(pool.ejected).toBe(1);
    for (let turn = 0; turn < 4; turn += 1) expect(pool.order([A, B, C]).at(-1)).toBe(A);
  });

  test("is not set aside for failures with a success between them", () => {
    const { pool, told } = poolAt();
    for (let turn = 0; turn < 10; turn += 1) {
      pool.failed(A, REFUSED);
      pool.failed(A, REFUSED);
      pool.succeeded(A);
    }
    expect(told).toEqual([]);
  });

  test("is still offered when it is the only one, or all are set aside: soonest return first", () => {
    const { pool, clock } = poolAt();
    eject(pool, B);
    clock.ms = 500;
    eject(pool, A);
    expect(pool.order([A])).toEqual([A]);
    expect(pool.order([A, B])).toEqual([B, A]);
    expect(pool.order([A, B])).toEqual([B, A]);
  });
});

describe("a target set aside", () => {
  test("comes first for one connection after its pause, and last again for the others", () => {
    const { pool, clock } = poolAt();
    eject(pool, A);
    clock.ms = 999;
    expect(pool.order([A, B]).at(-1)).toBe(A);
    clock.ms = 1_000;
    expect(pool.order([A, B])).toEqual([A, B]);
    for (let turn = 0; turn < 4; turn += 1) expect(pool.order([A, B])).toEqual([B, A]);
  });

  test("is back in use once the trial succeeds", () => {
    const { pool, clock, told } = poolAt();
    eject(pool, A);
    clock.ms = 1_000;
    pool.order([A, B]);
    pool.succeeded(A);
    expect(told.at(-1)).toBe("returned 10.0.0.1:1");
    expect(pool.ejected).toBe(0);
    pool.opened(B);
    for (let turn = 0; turn < 4; turn += 1) expect(pool.order([A, B])[0]).toBe(A);
    pool.failed(A, REFUSED);
    pool.failed(A, REFUSED);
    expect(told).toHaveLength(2); // it starts from nothing again
  });

  test("waits twice as long after each failed trial, at most 30 s", () => {
    const { pool, clock, told } = poolAt();
    eject(pool, A);
    const pauses: number[] = [];
    for (let trial = 0; trial < 8; trial += 1) {
      const since = clock.ms;
      while (pool.order([A, B])[0] !== A) clock.ms += 100;
      pauses.push(clock.ms - since);
      pool.failed(A, REFUSED);
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    expect(told).toHaveLength(1);
  });

  test("is not punished for the attempts made because all were down", () => {
    const { pool, clock } = poolAt();
    eject(pool, A);
    for (let attempt = 0; attempt < 100; attempt += 1) pool.failed(A, REFUSED);
    clock.ms = 1_000;
    expect(pool.order([A, B])[0]).toBe(A);
  });

  test("gets another trial when the first one never ended", () => {
    const { pool, clock } = poolAt();
    eject(pool, A);
    clock.ms = 1_000;
    expect(pool.order([A, B])[0]).toBe(A);
    clock.ms = 15_999;
    expect(pool.order([A, B])[0]).toBe(B);
    clock.ms = 16_000;
    expect(pool.order([A, B])[0]).toBe(A);
  });
});

test("targets that vanished are forgotten, and failures of invented ones are bounded", () => {
  const { pool, clock, told } = poolAt();
  const many = Array.from({ length: 20_000 }, (_, at): Target => ({ kind: "unix", path: `/run/${at}.sock` }));
  for (const target of many) eject(pool, target);
  expect(pool.ejected).toBe(10_000);
  expect(told).toHaveLength(10_000);
  clock.ms = 200_000;
  eject(pool, A);
  expect(pool.ejected).toBe(1);
  expect(told).toHaveLength(10_001);
});
