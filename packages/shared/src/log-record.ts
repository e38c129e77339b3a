/** Levels in falling weight. `debug` is off unless asked for. */
export const LEVELS = ["error", "warn", "info", "debug"] as const;
export type Level = (typeof LEVELS)[number];

/** Which part of the system speaks; printed in brackets. */
export type Component = "dispatcher" | "instance" | "proxy_handler" | "oauth";

/**
 * What happened. A closed set, so that a query by event can't miss a typo; `docs/architecture.md` lists the same words and a
 * test compares the two.
 */
export const EVENTS = [
  "process_started",
  "process_stopping",
  "process_stopped",
  "store_lost",
  "store_regained",
  "route_bad",
  "target_ejected",
  "target_returned",
  "snapshot_bad",
  "connection_ended",
  "connection_refused",
  "tls_failed",
  "config_changed",
  "config_bad",
  "certificate_loaded",
  "certificate_bad",
  "certificate_requested",
  "certificate_issued",
  "certificate_failed",
  "challenge_answered",
  "request_ended",
  "stream_started",
  "stream_chunk",
  "records_lost",
  "record_store_lost",
  "record_store_regained",
  "client_registered",
  "client_changed",
  "client_deleted",
  "client_refused",
  "authorization_started",
  "authorization_granted",
  "authorization_refused",
  "consent_given",
  "consent_refused",
  "login_succeeded",
  "login_refused",
  "login_pinned",
  "provider_failed",
  "token_issued",
  "token_refused",
  "token_revoked",
  "grant_revoked",
  "signing_key_changed",
  "signing_key_bad",
  "oauth_failed",
] as const;
export type EventName = (typeof EVENTS)[number];

/**
 * One record of the traffic log. The fields are an allow-list: no token, code, secret, cookie, body or query value has a place
 * here. Names are those that `--json` prints.
 */
export interface LogRecord {
  /** Milliseconds since the epoch. */
  readonly time: number;
  readonly level: Level;
  readonly component: Component;
  readonly event: EventName;
  /** The sentence of the first line, for every event but `request_ended`, whose first line is made of its fields. */
  readonly message?: string;
  readonly hostname?: string;
  /** The peer's address, from the socket or a trusted PROXY header. */
  readonly ip?: string;
  readonly conn?: string;
  readonly req?: string;
  /** The trace that the request belongs to (W3C Trace Context), as sent to the upstream: 32 hex digits. */
  readonly trace_id?: string;
  readonly method?: string;
  /** Path without query. */
  readonly path?: string;
  readonly status?: number;
  readonly duration_ms?: number;
  /** Milliseconds until the upstream's answer began. */
  readonly upstream_ms?: number;
  /** Chunks of an event stream that ended. */
  readonly chunks?: number;
  readonly mcp_method?: string;
  readonly mcp_tool?: string;
  readonly user?: string;
  readonly uid?: string;
  readonly scopes?: readonly string[];
  readonly client_id?: string;
  /** Base URL of the upstream, without credentials or query. */
  readonly upstream?: string;
  /** Reason word of a refusal, or the clause behind a 4xx. */
  readonly reason?: string;
  /** Octets from and to the peer. */
  readonly bytes_in?: number;
  readonly bytes_out?: number;
  /** Who ended it, and in which phase. */
  readonly ended_by?: string;
  readonly phase?: string;
}

/** Where records go. Never throws, never blocks the caller. */
export interface RecordLog {
  write(record: LogRecord): void;
  /** True when records of that level are kept: guard costly ones with it. */
  isEnabled(level: Level): boolean;
}

/** Returns the printed form (contract section 6): a first line, then Client, Auth and Ids; no trailing newline. */
export function renderRecord(record: LogRecord): string {
  const lines = [`[${renderTime(record.time)}] [${record.component}] ${firstLine(record)}`];
  const client = clientLine(record);
  if (client !== "") lines.push(`  ${client}`);
  lines.push(`  ${authLine(record)}`);
  const ids = idsLine(record);
  if (ids !== "") lines.push(`  ${ids}`);
  return lines.join("\n");
}

/** The second that was rendered last: under load thousands of records have it. */
let lastSecond = Number.NaN;
let lastSecondText = "";

function renderTime(time: number): string {
  const second = Math.floor(time / 1000);
  if (second !== lastSecond) {
    lastSecondText = new Date(second * 1000).toISOString().slice(0, 19).replace("T", " ");
    lastSecond = second;
  }
  const milliseconds = Math.floor(time - second * 1000);
  return `${lastSecondText}.${String(milliseconds).padStart(3, "0")}Z`;
}

function firstLine(record: LogRecord): string {
  if (record.event !== "request_ended") {
    return `${levelMarker(record.level)} [${record.level.toUpperCase()}] ${printable(record.message ?? record.event)}`;
  }
  const words = [statusMarker(record.status ?? 0), String(record.status ?? 0)];
  for (const word of [record.method, record.path, record.mcp_method, record.mcp_tool]) {
    if (word !== undefined) words.push(printable(word));
  }
  words.push(`(${Math.round(record.duration_ms ?? 0)}ms)`);
  for (const word of [record.message, record.reason]) {
    if (word !== undefined) words.push(printable(word));
  }
  return words.join(" ");
}

function clientLine({ ip, hostname, upstream }: LogRecord): string {
  const parts: string[] = [];
  if (ip !== undefined) parts.push(`Client: ${printable(ip)}`);
  if (hostname !== undefined) parts.push(`Proxy: ${printable(hostname)}`);
  if (upstream !== undefined) parts.push(printable(upstream));
  return parts.join(" → ");
}

function authLine({ user, scopes, client_id }: LogRecord): string {
  const parts: string[] = [];
  if (user !== undefined) parts.push(`User=${printable(user)}`);
  if (scopes !== undefined)
    parts.push(`Scopes=[${scopes.map((scope) => `"${printable(scope)}"`).join(", ")}]`);
  if (client_id !== undefined) parts.push(`Client=${printable(client_id)}`);
  return `Auth: ${parts.length === 0 ? "(empty)" : parts.join(" | ")}`;
}

function idsLine({ conn, req }: LogRecord): string {
  const parts: string[] = [];
  if (conn !== undefined) parts.push(`conn=${printable(conn)}`);
  if (req !== undefined) parts.push(`req=${printable(req)}`);
  return parts.length === 0 ? "" : `Ids: ${parts.join(" ")}`;
}

/** Returns the marker of a level, as it stands in front of everything but requests. */
export function levelMarker(level: Level): string {
  switch (level) {
    case "error":
      return "✗";
    case "warn":
      return "⚠";
    case "info":
      return "●";
    case "debug":
      return "◆";
  }
}

/** Returns the marker of a request by its status; a status that is none is an error. */
export function statusMarker(status: number): string {
  if (status >= 500 || status < 100) return "✗";
  if (status >= 400) return "⚠";
  return status >= 300 ? "→" : "✓";
}

/** Longest text of one field in a printed line; the rest is cut with an ellipsis. */
const MAX_FIELD_LENGTH = 2048;
// Control characters, line and paragraph separators, bidirectional overrides: what could forge a line or repaint a terminal.
const UNPRINTABLE =
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]/g;
const PLAIN = /^[\u0020-\u007e]*$/;

/** Returns the text with everything that could forge a line or drive a terminal written as an escape. */
export function printable(text: string): string {
  const cut = text.length > MAX_FIELD_LENGTH ? `${text.slice(0, MAX_FIELD_LENGTH)}…` : text;
  if (PLAIN.test(cut)) return cut;
  return cut.replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
