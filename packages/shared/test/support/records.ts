import fc from "fast-check";
import { EVENTS, LEVELS, type LogRecord } from "../../src/log-record.ts";
import type { RecordBatch } from "../../src/record-queue.ts";
import { StoredBatch } from "../../src/stored-batch.ts";

/** A batch that keeps its records as they are. */
export class ListBatch implements RecordBatch {
  readonly records: LogRecord[] = [];
  bytes = 0;

  get count(): number {
    return this.records.length;
  }

  add(record: LogRecord): void {
    this.records.push(record);
    this.bytes += 512 + (record.path?.length ?? 0);
  }
}

/** Returns records as the store takes them. */
export function batchOf(records: readonly LogRecord[]): StoredBatch {
  const batch = new StoredBatch();
  for (const record of records) batch.add(record);
  return batch;
}

/** 2025-08-30, on the hour. */
export const NOON: number = Date.UTC(2025, 7, 30, 12);

let made = 0;

/** A record of a request, one second behind the one made before it unless `time` says otherwise. */
export function requestRecord(fields: Partial<LogRecord> = {}): LogRecord {
  made += 1;
  return {
    time: NOON + made * 1000,
    level: "info",
    component: "proxy_handler",
    event: "request_ended",
    hostname: "simple.example.com",
    ip: "192.0.2.1",
    conn: `c-${made}`,
    req: `req-${made}`,
    method: "POST",
    path: "/mcp",
    status: 200,
    duration_ms: 12.3,
    ...fields,
  };
}

const text = fc.option(fc.string({ unit: "binary", maxLength: 40 }), { nil: undefined });
const number = fc.option(fc.nat({ max: 10_000_000 }), { nil: undefined });
const ip = fc.option(fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant("not an address")), { nil: undefined });
const few = (...words: string[]): fc.Arbitrary<string | undefined> =>
  fc.option(fc.constantFrom(...words), { nil: undefined });

/** Any record, with values that recur. */
export const anyRecord: fc.Arbitrary<LogRecord> = fc
  .record({
    time: fc.integer({ min: NOON, max: NOON + 100_000 }),
    level: fc.constantFrom(...LEVELS),
    component: fc.constantFrom("dispatcher", "instance", "proxy_handler", "oauth"),
    event: fc.constantFrom(...EVENTS),
    message: text,
    hostname: few("a.example.com", "b.example.com"),
    ip,
    conn: few("c-1", "c-2"),
    req: few("req-1", "req-2"),
    trace_id: text,
    method: text,
    path: text,
    status: fc.option(fc.integer({ min: 0, max: 999 }), { nil: undefined }),
    duration_ms: number,
    upstream_ms: number,
    chunks: number,
    mcp_method: text,
    mcp_tool: text,
    user: few("octocat", "Octocat", "hubot"),
    uid: few("github:1", "github:2"),
    scopes: fc.option(fc.array(fc.string()), { nil: undefined }),
    client_id: few("client_a", "client_b"),
    upstream: text,
    reason: text,
    bytes_in: number,
    bytes_out: number,
    ended_by: text,
    phase: text,
  })
  .map(
    (fields) =>
      Object.fromEntries(
        Object.entries(fields).filter(([, value]) => value !== undefined),
      ) as unknown as LogRecord,
  );
