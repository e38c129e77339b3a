import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { decodeRecord, encodeRecord } from "../src/stored-record.ts";
import { anyRecord, requestRecord } from "./support/records.ts";

describe("the stored form of a record", () => {
  test("gives back every record", () => {
    fc.assert(
      fc.property(anyRecord, (record) => {
        expect(decodeRecord(encodeRecord(record))).toEqual(record);
      }),
    );
  });

  test("keeps a tenth of a millisecond", () => {
    expect(decodeRecord(encodeRecord(requestRecord({ duration_ms: 1.23456 })))?.duration_ms).toBe(1.2);
  });

  test("cuts a text that a peer made long", () => {
    const path = `/${"x".repeat(30_000)}`;
    const stored = encodeRecord(requestRecord({ path }));
    expect(stored.length).toBeLessThan(2400);
    expect(decodeRecord(stored)?.path).toBe(`${path.slice(0, 2048)}…`);
  });

  test("stores no field that is not listed", () => {
    const extended = { ...requestRecord(), authorization: "Bearer x" };
    expect(encodeRecord(extended)).not.toContain("Bearer");
  });

  test.each(["", "{}", "null", "[1]", "not json", '{"t":1,"l":"info","c":"proxy_handler","e":"invented"}'])(
    "%p is no record",
    (text) => expect(decodeRecord(text)).toBeUndefined(),
  );
});
