import type { Hostname } from "@gatehouse/shared/hostname";
import type { Level, LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import type { ForwardContext, Identity } from "./identity-headers.ts";
import type { McpMessage } from "./mcp-message.ts";
import { recordedPath } from "./recorded-path.ts";

/** Chunks of a stream that are always recorded, and how often later ones are, at info (contract section 6). */
const FIRST_CHUNKS = 2;
const PROGRESS_INTERVAL_MS = 60_000;

/** Status of a request whose peer left before an answer began. Never sent; nginx made the number common. */
export const PEER_LEFT_STATUS = 499;

/** Why this gateway ends a stream of its own accord. */
export type StreamEndReason = "stopping" | "host_closed" | "not_allowed_any_more" | "token_revoked";

export interface AccessRecordOptions {
  readonly hostname: Hostname;
  /** Undefined when what came was no request. */
  readonly method: string | undefined;
  /** As it was sent; of it only the path is kept. */
  readonly target: string | undefined;
  readonly context: Pick<ForwardContext, "id" | "connection" | "startedAt" | "identity">;
}

type GrowingRecord = { -readonly [Field in keyof LogRecord]: LogRecord[Field] };

/** Whom a request is for. */
export type Who = Pick<LogRecord, "user" | "uid" | "scopes" | "client_id">;

/**
 * What becomes known about one request while it runs, written as exactly one `request_ended` record when it is over; a stream says
 * besides that it began and, now and then, that it goes on.
 */
export class AccessRecord {
  status = 0;
  mcp: McpMessage | undefined;
  upstream: string | undefined;
  reason: string | undefined;
  /** More about the reason, for operators. */
  problem: string | undefined;
  endedBy: "upstream" | "peer" | "gateway" = "upstream";
  phase: string | undefined;
  /** The trace it is forwarded under, or that the peer named. */
  traceId: string | undefined;
  /** Milliseconds from dispatch to the head of the upstream's answer. */
  upstreamMs: number | undefined;
  bytesIn = 0;
  bytesOut = 0;
  readonly #log: RecordLog;
  readonly #options: AccessRecordOptions;
  readonly #path: string | undefined;
  #who: Who;
  #stream: "SSE" | "WebSocket" | undefined;
  #chunks = 0;
  #progressAt = 0;
  #isWritten = false;

  constructor(log: RecordLog, options: AccessRecordOptions) {
    const { target, context } = options;
    this.#log = log;
    this.#options = options;
    this.#path = target === undefined ? undefined : recordedPath(target);
    this.#who = context.identity === undefined ? {} : whoIs(context.identity);
  }

  /** For requests that carry no token of their own: the authorization server knows who they are for. */
  isFor(who: Who): void {
    this.#who = who;
  }

  streamStarted(stream: "SSE" | "WebSocket"): void {
    this.#stream = stream;
    this.#write(
      "info",
      "stream_started",
      `stream started: ${this.#options.method ?? ""} ${this.#path ?? ""}`,
    );
  }

  /** Called for each chunk of a stream on its way to the peer: cheap unless a record is due. */
  streamChunk(bytes: number): void {
    const count = ++this.#chunks;
    const now = performance.now();
    const isDue = count <= FIRST_CHUNKS || now - this.#progressAt >= PROGRESS_INTERVAL_MS;
    if (isDue) this.#progressAt = now;
    else if (!this.#log.isEnabled("debug")) return;
    const level = isDue ? "info" : "debug";
    this.#write(level, "stream_chunk", `${this.#stream ?? "SSE"} chunk ${count}: ${bytes} bytes`);
  }

  /** Writes the record of the request; later calls do nothing. */
  ended(): void {
    if (this.#isWritten) return;
    this.#isWritten = true;
    const message = this.#stream === undefined ? this.problem : this.#streamEnd();
    const record = this.#subject(statusLevel(this.status), "request_ended");
    record.status = this.status;
    record.duration_ms = performance.now() - this.#options.context.startedAt;
    record.bytes_in = this.bytesIn;
    record.bytes_out = this.bytesOut;
    record.ended_by = this.endedBy;
    if (message !== undefined) record.message = message;
    if (this.#stream !== undefined) record.chunks = this.#chunks;
    if (this.reason !== undefined) record.reason = this.reason;
    if (this.phase !== undefined) record.phase = this.phase;
    this.#log.write(record);
  }

  /**
   * The line of a request has no place for who ended it, and for a stream that is the question; but for the answer to a call, which
   * happens to come as a stream and ends when it is complete.
   */
  #streamEnd(): string | undefined {
    const isAnswer = this.#options.method === "POST" && this.endedBy === "upstream";
    if (isAnswer && this.reason === undefined) return undefined;
    return `stream ended by ${this.endedBy}, ${this.#chunks} ${this.#chunks === 1 ? "chunk" : "chunks"}`;
  }

  #write(level: Level, event: "stream_started" | "stream_chunk", message: string): void {
    if (!this.#log.isEnabled(level)) return;
    const record = this.#subject(level, event);
    record.message = message;
    this.#log.write(record);
  }

  /** The fields every record of this request has. One object that grows: a spread for each field that may be absent would make an object each. */
  #subject(level: Level, event: LogRecord["event"]): GrowingRecord {
    const { hostname, method, context } = this.#options;
    const record: GrowingRecord = {
      time: Date.now(),
      level,
      component: "proxy_handler",
      event,
      hostname,
      ip: context.connection.addresses.source.ip,
      conn: context.connection.id,
      req: context.id,
    };
    if (this.traceId !== undefined) record.trace_id = this.traceId;
    if (method !== undefined) record.method = method;
    if (this.#path !== undefined) record.path = this.#path;
    if (this.mcp !== undefined) record.mcp_method = this.mcp.method;
    if (this.mcp?.tool !== undefined) record.mcp_tool = this.mcp.tool;
    if (this.upstream !== undefined) record.upstream = this.upstream;
    if (this.upstreamMs !== undefined) record.upstream_ms = this.upstreamMs;
    return Object.assign(record, this.#who);
  }
}

function whoIs({ login, uid, scopes, clientId }: Identity): Who {
  return { user: login, uid, scopes, client_id: clientId };
}

function statusLevel(status: number): Level {
  if (status >= 500 || status < 100) return "error";
  return status >= 400 ? "warn" : "info";
}
