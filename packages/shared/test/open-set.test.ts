import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { OpenSet } from "../src/open-set.ts";

test("holds what was added and not taken out, in whatever order that happens", () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.constant("add"), fc.nat(20)), { maxLength: 300 }), (steps) => {
      const set = new OpenSet<{ readonly name: number }>();
      const model: { readonly one: { readonly name: number }; readonly place: number }[] = [];
      for (const [name, step] of steps.entries()) {
        if (typeof step === "number") {
          for (const { place } of model.splice(step, 1)) set.delete(place);
        } else {
          const one = { name };
          model.push({ one, place: set.add(one) });
        }
        expect(set.size).toBe(model.length);
        expect(new Set(set)).toEqual(new Set(model.map(({ one }) => one)));
      }
    }),
  );
});

test("uses an empty place again, so that it never outgrows what was open at once", () => {
  const set = new OpenSet<object>();
  const places = new Set(
    Array.from({ length: 1000 }, () => {
      const place = set.add({});
      set.delete(place);
      return place;
    }),
  );
  expect(places.size).toBe(1);
});

test("a place is emptied once", () => {
  const set = new OpenSet<object>();
  const place = set.add({});
  set.delete(place);
  expect(() => set.delete(place)).toThrow(RangeError);
  expect(() => set.delete(7)).toThrow(RangeError);
});

test("goes on while members leave during a walk", () => {
  const set = new OpenSet<{ readonly place: () => number }>();
  const met: number[] = [];
  for (let at = 0; at < 3; at++) {
    const place: number = set.add({ place: () => place });
  }
  for (const one of set) {
    met.push(one.place());
    set.delete(one.place());
  }
  expect([met, set.size]).toEqual([[0, 1, 2], 0]);
});
