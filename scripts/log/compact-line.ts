import { levelMarker, printable, statusMarker, type LogRecord } from "@gatehouse/shared/log-record";
import type { RecordFilter } from "@gatehouse/shared/record-filter";
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

/** Prints records as lines of a terminal: time, outcome, address, host, user, what happened and, at the right edge, how long it took. */
export class CompactLines {
  readonly #paint: Paint;
  /** A column that would say the same in every line says nothing. */
  readonly #isHostShown: boolean;
  readonly #isAddressShown: boolean;

  constructor(paint: Paint, { hostname, ip }: RecordFilter) {
    this.#paint = paint;
    this.#isHostShown = hostname === undefined;
    this.#isAddressShown = ip === undefined || ip.includes("/");
  }

  /** Returns the line of a record, never longer than `columns`. */
  line(record: LogRecord, columns: number): string {
    const width = Math.max(columns, MIN_COLUMNS);
    const { host, user, time } = width >= WIDE ? ROOMY : NARROW;
    const isRequest = record.event === "request_ended";
    const marker = isRequest ? statusMarker(record.status ?? 0) : levelMarker(record.level);
    const outcome = `${marker} ${cell(isRequest ? String(record.status ?? 0) : "", STATUS_WIDTH)}`;
    const clock = new Date(record.time).toISOString().slice(11, 11 + time);
    const who: string[] = [];
    if (this.#isAddressShown) who.push(cell(record.ip ?? "", ADDRESS_WIDTH, "middle"));
    if (this.#isHostShown) who.push(cell(record.hostname ?? record.component, host));
    if (user > 0) who.push(cell(record.user ?? "", user));
    const rest = width - [clock, outcome, ...who, ""].join(" ").length;
    const parts = [this.#paint.quiet(clock), this.#paint.outcome(marker, outcome), ...who];
    return [...parts, withDuration(record, rest)].join(" ").trimEnd();
  }

  /** Returns the line that parts two days. */
  day(time: number): string {
    return this.#paint.quiet(`-- ${new Date(time).toISOString().slice(0, 10)} (UTC) --`);
  }
}

function withDuration(record: LogRecord, width: number): string {
  if (record.event !== "request_ended") return cut(record.message ?? record.event, width);
  const { method, path, mcp_method, mcp_tool, message, reason } = record;
  // What an MCP client did says more than the one path that all of it goes to, so that is what the edge may cut.
  const words = [mcp_method, mcp_tool, method, path, message, reason];
  const took = ` ${duration(record.duration_ms ?? 0)}`;
  return cell(words.filter((word) => word !== undefined).join(" "), width - took.length) + took;
}

/** Three digits and a unit. */
function duration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)}ms`;
  const seconds = milliseconds / 1000;
  if (seconds < 100) return `${seconds.toFixed(1)}s`;
  return seconds < 6000 ? `${(seconds / 60).toFixed(1)}m` : `${(seconds / 3600).toFixed(1)}h`;
}

function cell(text: string, width: number, where: "end" | "middle" = "end"): string {
  return cut(text, width, where).padEnd(width);
}

/** Cut with an ellipsis; an address in its middle, because both its ends tell. */
function cut(text: string, width: number, where: "end" | "middle" = "end"): string {
  const line = singleWidth(text);
  if (line.length <= width) return line;
  if (width < 1) return "";
  const tail = where === "end" ? 0 : Math.floor((width - 1) / 2);
  return `${line.slice(0, width - 1 - tail)}…${line.slice(line.length - tail)}`;
}

/** What a terminal may draw two columns wide, or none, would push everything behind it out of line: it is shown by its number. */
function singleWidth(text: string): string {
  return printable(text).replaceAll(
    /[^\u0020-\u007e\u00a1-\u00ac\u00ae-\u02ff…→]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );
}
