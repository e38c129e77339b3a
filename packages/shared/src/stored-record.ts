import * as z from "zod";
import type { JsonLines, MemberName } from "./json-lines.ts";
import { EVENTS, LEVELS, type LogRecord } from "./log-record.ts";

/**
 * The stored form of a record: JSON with one or two letters for a name, because names would be a third of what a million records
 * take. A field that is not listed here is not stored; the codec's test compares the list with `LogRecord`. Each name as it stands in the text.
 */
const MEMBERS = {
  time: '"t":',
  level: '"l":',
  component: '"c":',
  event: '"e":',
  message: '"m":',
  hostname: '"h":',
  ip: '"ip":',
  conn: '"cn":',
  req: '"rq":',
  trace_id: '"tr":',
  method: '"mt":',
  path: '"p":',
  status: '"s":',
  duration_ms: '"d":',
  upstream_ms: '"um":',
  chunks: '"ch":',
  mcp_method: '"mm":',
  mcp_tool: '"tl":',
  user: '"u":',
  uid: '"ui":',
  scopes: '"sc":',
  client_id: '"cl":',
  upstream: '"up":',
  reason: '"r":',
  bytes_in: '"bi":',
  bytes_out: '"bo":',
  ended_by: '"eb":',
  phase: '"ph":',
} as const satisfies Record<keyof LogRecord, MemberName>;

/** Fields and their short names. */
const FIELDS = Object.entries(MEMBERS).map(([field, member]) => [field, member.slice(1, -2)] as const);

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

/** Writes the stored text of a record: one line. */
export function writeRecord(record: LogRecord, lines: JsonLines): void {
  // Written out, because this runs for every request; what peers choose is cut.
  lines.begin();
  lines.number(MEMBERS.time, record.time);
  lines.text(MEMBERS.level, record.level);
  lines.text(MEMBERS.component, record.component);
  lines.text(MEMBERS.event, record.event);
  lines.text(MEMBERS.message, cut(record.message));
  lines.text(MEMBERS.hostname, record.hostname);
  lines.text(MEMBERS.ip, record.ip);
  lines.text(MEMBERS.conn, record.conn);
  lines.text(MEMBERS.req, record.req);
  lines.text(MEMBERS.trace_id, record.trace_id);
  lines.text(MEMBERS.method, cut(record.method));
  lines.text(MEMBERS.path, cut(record.path));
  lines.number(MEMBERS.status, record.status);
  lines.number(MEMBERS.duration_ms, record.duration_ms);
  lines.number(MEMBERS.upstream_ms, record.upstream_ms);
  lines.number(MEMBERS.chunks, record.chunks);
  lines.text(MEMBERS.mcp_method, cut(record.mcp_method));
  lines.text(MEMBERS.mcp_tool, cut(record.mcp_tool));
  lines.text(MEMBERS.user, cut(record.user));
  lines.text(MEMBERS.uid, cut(record.uid));
  lines.texts(MEMBERS.scopes, record.scopes);
  lines.text(MEMBERS.client_id, cut(record.client_id));
  lines.text(MEMBERS.upstream, cut(record.upstream));
  lines.text(MEMBERS.reason, cut(record.reason));
  lines.number(MEMBERS.bytes_in, record.bytes_in);
  lines.number(MEMBERS.bytes_out, record.bytes_out);
  lines.text(MEMBERS.ended_by, record.ended_by);
  lines.text(MEMBERS.phase, record.phase);
  lines.end();
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

function parseJson(stored: string): unknown {
  try {
    return JSON.parse(stored);
  } catch {
    return undefined; // somebody else's value in our list
  }
}
