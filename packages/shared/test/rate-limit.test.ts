import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { RateLimit } from "../src/rate-limit.ts";

test("takes a burst at once, then one per interval, and says how long the next must wait", () => {
  const limit = new RateLimit({ count: 3, periodMs: 3000 });
  expect([0, 1, 2].map(() => limit.take("a", 0))).toEqual([0, 0, 0]);
  expect(limit.take("a", 0)).toBe(1000);
  expect(limit.take("a", 999)).toBe(1);
  expect([limit.take("a", 1000), limit.take("a", 1000)]).toEqual([0, 1000]);
});

test("one key's use is not another's", () => {
  const limit = new RateLimit({ count: 1, periodMs: 1000 });
  expect([limit.take("a", 0), limit.take("b", 0), limit.take("a", 0)]).toEqual([0, 0, 1000]);
});

test("what is counted over the limit makes nobody wait longer than one use takes", () => {
  const limit = new RateLimit({ count: 2, periodMs: 1000 });
  for (let use = 0; use < 50; use += 1) limit.count("a", 0);
  expect(limit.wait("a", 0)).toBe(500);
  expect(limit.wait("a", 500)).toBe(0);
});

test("remembers so many keys, whatever comes", () => {
  const limit = new RateLimit({ count: 1, periodMs: 1000, maxKeys: 100 });
  for (let key = 0; key < 10_000; key += 1) limit.take(String(key), 0);
  expect(limit.size).toBe(100);
});

test("in any stretch of time no more is taken than the burst and what has flowed in since", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(400), { maxLength: 200 }), (gaps) => {
      const limit = new RateLimit({ count: 10, periodMs: 1000, burst: 5 });
      const taken: number[] = [];
      let now = 0;
      for (const gap of gaps) {
        now += gap;
        if (limit.take("a", now) === 0) taken.push(now);
      }
      for (const [index, from] of taken.entries()) {
        const later = taken.slice(index);
        for (const [count, to] of later.entries())
          expect(count + 1).toBeLessThanOrEqual(5 + (to - from) / 100 + 1e-3);
      }
    }),
  );
});
