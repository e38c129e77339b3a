import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { WaitingLine, type Waiter } from "../src/waiting-line.ts";

test("gives the oldest first, whoever has left in between", () => {
  const line = new WaitingLine<string>();
  const first = line.add("a");
  for (const one of ["b", "c"]) line.add(one);
  line.delete(first);
  line.delete(first);
  expect([line.shift(), line.shift(), line.shift(), line.size]).toEqual(["b", "c", undefined, 0]);
});

test("goes on after it was empty", () => {
  const line = new WaitingLine<string>();
  line.add("a");
  expect(line.shift()).toBe("a");
  expect(line.shift()).toBeUndefined();
  line.add("b");
  expect(line.shift()).toBe("b");
});

test("does what a list does, in whatever order it is used", () => {
  const step = fc.oneof(fc.constantFrom("add", "shift"), fc.nat(20));
  fc.assert(
    fc.property(fc.array(step, { maxLength: 300 }), (steps) => {
      const line = new WaitingLine<number>();
      const list: Waiter<number>[] = [];
      let next = 0;
      for (const one of steps) {
        if (typeof one === "number") {
          const [gone] = list.splice(one, 1);
          if (gone !== undefined) line.delete(gone);
        } else if (one === "add") {
          list.push(line.add(next++));
        } else expect(line.shift()).toBe(list.shift()?.one);
        expect(line.size).toBe(list.length);
      }
    }),
  );
});
