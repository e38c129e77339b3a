import { z } from "zod";
import { EVENTS, LEVELS, type LogRecord } from "./log-record.ts";

/**
 * The stored form of a record: JSON with one or two letters for a name, because names would be a third of what a million records
 * take. A field that is not listed here is not stored; the codec's test compares the list with `LogRecord`.
 */
const NAMES = {
  time: "t",
  level: "l",
  component: "c",
  event: "e",
  message: "m",
  hostname: "h",
  ip: "ip",
  conn: "cn",
  req: "rq",
  trace_id: "tr",
  method: "mt",
  path: "p",
  status: "s",
  duration_ms: "d",
  upstream_ms: "um",
  chunks: "ch",
  mcp_method: "mm",
  mcp_tool: "tl",
  user: "u",
  uid: "ui",
  scopes: "sc",
  client_id: "cl",
  upstream: "up",
  reason: "r",
  bytes_in: "bi",
  bytes_out: "bo",
  ended_by: "eb",
  phase: "ph",
} as const satisfies Record<keyof LogRecord, string>;

/** What is written: a value, or undefined, for every short name and for no other. */
type StoredForm = {
  readonly [Field in keyof LogRecord as (typeof NAMES)[Field]]-?: LogRecord[Field] | undefined;
};

const FIELDS = Object.entries(NAMES) as readonly (readonly [keyof LogRecord, string])[];

/** Longest text of one field that is stored, in UTF-16 units: a path may be as long as a request header, and a record is kept for weeks. */
const MAX_TEXT_LENGTH = 2048;

const text = z.string().optional();
const number = z.number().optional();
const schema = z.object({
  t: z.number(),
  l: z.enum(LEVELS),
  c: z.enum(["dispatcher", "instance", "proxy_handler", "oauth"]),
  e: z.enum(EVENTS),
  sc: z.array(z.string()).optional(),
  ...Object.fromEntries(
    ["m", "h", "ip", "cn", "rq", "tr", "mt", "p", "mm", "tl"].map((name) => [name, text]),
  ),
  ...Object.fromEntries(["u", "ui", "cl", "up", "r", "eb", "ph"].map((name) => [name, text])),
  ...Object.fromEntries(["s", "d", "um", "ch", "bi", "bo"].map((name) => [name, number])),
});

/** Returns the stored text of a record: one line. */
export function encodeRecord(record: LogRecord): string {
  // Written out, because this runs for every request: an object whose members are always the same ones is built and printed in half
  // the time of one that is put together. Members without a value are not printed.
  return JSON.stringify({
    t: record.time,
    l: record.level,
    c: record.component,
    e: record.event,
    m: cut(record.message),
    h: record.hostname,
    ip: record.ip,
    cn: record.conn,
    rq: record.req,
    tr: record.trace_id,
    mt: cut(record.method),
    p: cut(record.path),
    s: record.status,
    d: tenths(record.duration_ms),
    um: tenths(record.upstream_ms),
    ch: record.chunks,
    mm: cut(record.mcp_method),
    tl: cut(record.mcp_tool),
    u: cut(record.user),
    ui: cut(record.uid),
    sc: record.scopes,
    cl: cut(record.client_id),
    up: cut(record.upstream),
    r: cut(record.reason),
    bi: record.bytes_in,
    bo: record.bytes_out,
    eb: record.ended_by,
    ph: record.phase,
  } satisfies StoredForm);
}

/** Returns the record, or undefined for what this version does not understand: a newer writer's, or no record at all. */
export function decodeRecord(stored: string): LogRecord | undefined {
  const parsed = schema.safeParse(parseJson(stored));
  if (!parsed.success) return undefined;
  const short = parsed.data as Record<string, unknown>;
  const record = Object.fromEntries(
    FIELDS.filter(([, name]) => short[name] !== undefined).map(([field, name]) => [field, short[name]]),
  );
  return record as unknown as LogRecord;
}

function cut(text: string | undefined): string | undefined {
  return text === undefined || text.length <= MAX_TEXT_LENGTH ? text : `${text.slice(0, MAX_TEXT_LENGTH)}…`;
}

function tenths(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : Math.round(milliseconds * 10) / 10;
}

function parseJson(stored: string): unknown {
  try {
    return JSON.parse(stored);
  } catch {
    return undefined; // somebody else's value in our list
  }
}
