import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import type { LogRecord } from "../src/log-record.ts";
import { COLUMN_NAMES, columnTests, columnWidth, INDEX_BYTES_PER_RECORD } from "../src/record-columns.ts";
import { recordTest, type RecordFilter } from "../src/record-filter.ts";
import { anyRecord, batchOf, NOON, requestRecord } from "./support/records.ts";

function mayMatch(record: LogRecord, filter: RecordFilter): boolean {
  const columns = batchOf([requestRecord(), record]).cells;
  return columnTests(filter).every(({ column, test: matches }) =>
    matches(columns[COLUMN_NAMES.indexOf(column)] ?? Buffer.alloc(0), columnWidth(column)),
  );
}

const some = <T>(...values: T[]) => fc.option(fc.constantFrom(...values), { nil: undefined });
const blocks = fc.oneof(
  fc.tuple(fc.ipV4(), fc.nat({ max: 32 })).map(([ip, bits]) => `${ip}/${bits}`),
  fc.tuple(fc.ipV6(), fc.nat({ max: 128 })).map(([ip, bits]) => `${ip}/${bits}`),
);
const anyFilter: fc.Arbitrary<RecordFilter> = fc
  .record({
    ip: fc.option(blocks, { nil: undefined }),
    hostname: some("a.example.com"),
    user: some("OCTOCAT", "github:2"),
    clientId: some("client_a"),
    req: some("req-1"),
    conn: some("c-2"),
    status: some({ from: 400, to: 499 }, { from: 0, to: 999 }),
    level: some("warn" as const, "error" as const),
    slowMs: fc.option(fc.nat({ max: 10_000 }), { nil: undefined }),
    since: some(NOON + 50_000, NOON - 1),
    until: some(NOON + 50_000.5, NOON),
  })
  .map((fields) => Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)));

describe("the columns of the index", () => {
  test("never leave out a record that matches", () => {
    fc.assert(
      fc.property(anyRecord, anyFilter, (record, filter) => {
        if (recordTest(filter)(record)) expect(mayMatch(record, filter)).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });

  test.each<[RecordFilter, Partial<LogRecord>]>([
    [{ ip: "192.0.2.0/24" }, { ip: "192.0.3.1" }],
    [{ ip: "192.0.2.7" }, { ip: "192.0.2.8" }],
    [{ ip: "0.0.0.0/1" }, { ip: "128.0.0.1" }],
    [{ ip: "2001:db8::/33" }, { ip: "2001:db8:8000::1" }],
    [{ ip: "2001:db8::1" }, { ip: "2001:db8:0:1::1" }],
    [{ hostname: "a.example.com" }, { hostname: "b.example.com" }],
    [{ user: "octocat" }, { user: "hubot" }],
    [{ user: "github:1" }, { uid: "github:2" }],
    [{ clientId: "client_a" }, { client_id: "client_b" }],
    [{ status: { from: 500, to: 599 } }, { status: 499 }],
    [{ level: "warn" }, { level: "info" }],
    [{ slowMs: 1000 }, { duration_ms: 999 }],
    [{ since: NOON }, { time: NOON - 1 }],
    [{ until: NOON }, { time: NOON + 1 }],
  ])("%p leaves out %p", (filter, fields) => {
    expect(mayMatch(requestRecord(fields), filter)).toBe(false);
  });

  test("a block is met by its members, whatever the spelling", () => {
    for (const [block, ip] of [
      ["192.0.2.0/25", "192.0.2.127"],
      ["::ffff:192.0.2.7", "192.0.2.7"],
      ["2001:DB8:0:0::/48", "2001:db8:0:ffff::1"],
      ["2001:db8::1", "2001:db8::1"],
      ["0.0.0.0/0", "255.255.255.255"],
      ["::/0", "2001:db8::1"],
    ] as const) {
      expect([block, recordTest({ ip: block })(requestRecord({ ip }))]).toEqual([block, true]);
      expect([block, mayMatch(requestRecord({ ip }), { ip: block })]).toEqual([block, true]);
    }
    expect(() => columnTests({ ip: "192.0.2" })).toThrow(TypeError);
    expect(() => recordTest({ ip: "192.0.2" })).toThrow(TypeError);
  });

  test("a stream is slow by its beginning, a connection never", () => {
    const slow = recordTest({ slowMs: 1000 });
    expect(slow(requestRecord({ duration_ms: 60_000, chunks: 12, upstream_ms: 3 }))).toBe(false);
    expect(slow(requestRecord({ duration_ms: 60_000, status: 101 }))).toBe(false);
    expect(slow(requestRecord({ duration_ms: 60_000, chunks: 12, upstream_ms: 1000 }))).toBe(true);
    expect(slow(requestRecord({ event: "connection_ended", duration_ms: 60_000 }))).toBe(false);
  });

  test("cost what the documents say", () => {
    expect(INDEX_BYTES_PER_RECORD).toBe(45);
  });
});
