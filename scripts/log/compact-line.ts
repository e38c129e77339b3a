import { levelMarker, printable, statusMarker, type LogRecord } from "@gatehouse/shared/log-record";
import type { Paint } from "./paint.ts";

/** Columns of the terminal from which on there is room for milliseconds, whole names and the user. */
const WIDE = 100;
/** Narrower than this a line can't say anything; it is then cut by the terminal. */
const MIN_COLUMNS = 40;
const STATUS_WIDTH = 3;
/** The longest IPv4 address. */
const ADDRESS_WIDTH = 15;
const NARROW = { host: 18, user: 0, time: 8 };
const ROOMY = { host: 26, user: 12, time: 12 };

/** Returns a record as one line of a terminal of `columns`: time, outcome, address, host, user, what happened; cut to the width. */
export function compactLine(record: LogRecord, columns: number, paint: Paint): string {
  const width = Math.max(columns, MIN_COLUMNS);
  const { host, user, time } = width >= WIDE ? ROOMY : NARROW;
  const isRequest = record.event === "request_ended";
  const marker = isRequest ? statusMarker(record.status ?? 0) : levelMarker(record.level);
  const outcome = `${marker} ${cell(isRequest ? String(record.status ?? 0) : "", STATUS_WIDTH)}`;
  const clock = new Date(record.time).toISOString().slice(11, 11 + time);
  const who = [
    cell(record.ip ?? "", ADDRESS_WIDTH, "middle"),
    cell(record.hostname ?? record.component, host),
  ];
  if (user > 0) who.push(cell(record.user ?? "", user));
  const before = `${clock} ${outcome} ${who.join(" ")} `;
  const what = cut(whatHappened(record), width - before.length);
  return `${paint.quiet(clock)} ${paint.outcome(marker, outcome)} ${who.join(" ")} ${what}`.trimEnd();
}

/** Returns the line that parts two days. */
export function dayLine(time: number, paint: Paint): string {
  return paint.quiet(`-- ${new Date(time).toISOString().slice(0, 10)} (UTC) --`);
}

function whatHappened(record: LogRecord): string {
  if (record.event !== "request_ended") return record.message ?? record.event;
  const { method, path, mcp_method, mcp_tool, message, reason } = record;
  const took = `${Math.round(record.duration_ms ?? 0)}ms`;
  return [took, method, path, mcp_method, mcp_tool, message, reason]
    .filter((word) => word !== undefined)
    .join(" ");
}

function cell(text: string, width: number, where: "end" | "middle" = "end"): string {
  return cut(text, width, where).padEnd(width);
}

/** Cut with an ellipsis; an address in its middle, because both its ends tell. */
function cut(text: string, width: number, where: "end" | "middle" = "end"): string {
  const line = singleWidth(text);
  if (line.length <= width) return line;
  if (where === "end") return `${line.slice(0, Math.max(width - 1, 0))}…`;
  const tail = Math.floor((width - 1) / 2);
  return `${line.slice(0, width - 1 - tail)}…${line.slice(-tail)}`;
}

/** What a terminal may draw two columns wide, or none, would push everything behind it out of line: it is shown by its number. */
function singleWidth(text: string): string {
  return printable(text).replaceAll(
    /[^\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff…→]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
