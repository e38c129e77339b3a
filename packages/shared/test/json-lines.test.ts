import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { JsonLines } from "../src/json-lines.ts";

const NAMES = { a: '"a":', b2: '"b2":', list: '"list":' } as const;

const anyText = fc.oneof(fc.string(), fc.string({ unit: "binary" }), fc.string({ unit: "binary-ascii" }));
const anyObject = fc.record(
  { a: anyText, b2: fc.integer({ min: 0, max: 2 ** 49 }), list: fc.array(anyText) },
  { requiredKeys: [] },
);

function write(lines: JsonLines, { a, b2, list }: { a?: string; b2?: number; list?: string[] }): void {
  lines.begin();
  lines.text(NAMES.a, a);
  lines.number(NAMES.b2, b2);
  lines.texts(NAMES.list, list);
  lines.end();
}

function number(value: number): string {
  const lines = new JsonLines();
  write(lines, { b2: value });
  return lines.octets.toString();
}

describe("JSON lines", () => {
  test("are what JSON.stringify prints, whatever the text", () => {
    fc.assert(
      fc.property(fc.array(anyObject), (objects) => {
        const lines = new JsonLines();
        for (const object of objects) write(lines, object);

        const printed = objects.map(({ a, b2, list }) => `${JSON.stringify({ a, b2, list })}\n`).join("");
        expect(lines.octets.toString()).toBe(printed);
        expect(lines.length).toBe(Buffer.byteLength(printed));
      }),
    );
  });

  test("grow as far as they must, and are written over after clear", () => {
    const lines = new JsonLines();
    const long = "\u{1F510}".repeat(40_000);
    write(lines, { a: long });
    expect(JSON.parse(lines.octets.toString())).toEqual({ a: long });
    lines.clear();
    write(lines, { a: "x" });
    expect(lines.octets.toString()).toBe('{"a":"x"}\n');
  });

  test("cutTo takes back a line that was begun", () => {
    const lines = new JsonLines();
    write(lines, { a: "x" });
    const { length } = lines;
    lines.begin();
    lines.text(NAMES.a, "y");
    lines.cutTo(length);
    expect(lines.octets.toString()).toBe('{"a":"x"}\n');
  });

  test.each([
    [0, "0"],
    [9, "9"],
    [10, "10"],
    [0.04, "0"],
    [0.05, "0.1"],
    [2.345, "2.3"],
    [9.96, "10"],
    [1_795_686_637_879, "1795686637879"],
    [-1.5, "-1.5"],
    [Number.NaN, "null"],
    [Number.POSITIVE_INFINITY, "null"],
  ])("the number %p is %s", (value, text) => {
    expect(number(value)).toBe(`{"b2":${text}}\n`);
  });
});
