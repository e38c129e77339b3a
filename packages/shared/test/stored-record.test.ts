import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { JsonLines } from "../src/json-lines.ts";
import type { LogRecord } from "../src/log-record.ts";
import { decodeRecord, writeRecord } from "../src/stored-record.ts";
import { anyRecord, requestRecord } from "./support/records.ts";

function stored(record: LogRecord): string {
  const lines = new JsonLines();
  writeRecord(record, lines);
  return lines.octets.toString();
}

describe("the stored form of a record", () => {
  test("gives back every record", () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        expect(decodeRecord(stored(record))).toEqual(record);
      }),
    );
  });

  test("keeps a tenth of a millisecond", () => {
    expect(decodeRecord(stored(requestRecord({ duration_ms: 1.23456 })))?.duration_ms).toBe(1.2);
  });

  test("cuts a text that a peer made long", () => {
    const path = `/${"x".repeat(30_000)}`;
    const text = stored(requestRecord({ path }));
    expect(text.length).toBeLessThan(2400);
    expect(decodeRecord(text)?.path).toBe(`${path.slice(0, 2048)}…`);
  });

  test("stores no field that is not listed", () => {
    const extended = { ...requestRecord(), authorization: "Bearer x" };
    expect(stored(extended)).not.toContain("Bearer");
  });

  test.each(["", "{}", "null", "[1]", "not json", '{"t":1,"l":"info","c":"proxy_handler","e":"invented"}'])(
    "%p is no record",
    (text) => expect(decodeRecord(text)).toBeUndefined(),
  );
});
