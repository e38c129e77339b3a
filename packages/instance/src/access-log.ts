import type { Hostname } from "@gatehouse/shared/hostname";
import type { Level, LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import type { ForwardContext } from "./identity-headers.ts";
import type { McpMessage } from "./mcp-message.ts";

/** Chunks of a stream that are always recorded, and how often later ones are, at info (contract section 6). */
const FIRST_CHUNKS = 2;
const PROGRESS_INTERVAL_MS = 60_000;

/** Status of a request whose peer left before an answer began. Never sent; nginx made the number common. */
export const PEER_LEFT_STATUS = 499;

export interface AccessRecordOptions {
  readonly hostname: Hostname;
  readonly method: string;
  /** Path without query. */
  readonly path: string;
  readonly context: ForwardContext;
}

/**
 * What becomes known about one request while it runs, written as exactly one `request_ended` record when it is over; a stream says
 * besides that it began and, now and then, that it goes on.
 */
export class AccessRecord {
  status = 0;
  mcp: McpMessage | undefined;
  upstream: string | undefined;
  reason: string | undefined;
  endedBy: "upstream" | "peer" | "gateway" = "upstream";
  phase: string | undefined;
  /** Milliseconds from dispatch to the head of the upstream's answer. */
  upstreamMs: number | undefined;
  bytesIn = 0;
  bytesOut = 0;
  readonly #log: RecordLog;
  readonly #options: AccessRecordOptions;
  #chunks = 0;
  #progressAt = 0;
  #isWritten = false;

  constructor(log: RecordLog, options: AccessRecordOptions) {
    this.#log = log;
    this.#options = options;
  }

  streamStarted(): void {
    this.#write("info", "stream_started", `stream started: ${this.#options.method} ${this.#options.path}`);
  }

  /** Called for each chunk of an event stream: cheap unless a record is due. */
  streamChunk(bytes: number): void {
    const count = ++this.#chunks;
    const now = performance.now();
    const isDue = count <= FIRST_CHUNKS || now - this.#progressAt >= PROGRESS_INTERVAL_MS;
    if (isDue) this.#progressAt = now;
    else if (!this.#log.isEnabled("debug")) return;
    this.#write(isDue ? "info" : "debug", "stream_chunk", `SSE chunk ${count}: ${bytes} bytes`);
  }

  /** Writes the record of the request; later calls do nothing. */
  ended(): void {
    if (this.#isWritten) return;
    this.#isWritten = true;
    this.#log.write({
      ...this.#subject(statusLevel(this.status), "request_ended"),
      status: this.status,
      duration_ms: performance.now() - this.#options.context.startedAt,
      bytes_in: this.bytesIn,
      bytes_out: this.bytesOut,
      ended_by: this.endedBy,
      ...(this.reason === undefined ? {} : { reason: this.reason }),
      ...(this.phase === undefined ? {} : { phase: this.phase }),
    });
  }

  #write(level: Level, event: "stream_started" | "stream_chunk", message: string): void {
    if (this.#log.isEnabled(level)) this.#log.write({ ...this.#subject(level, event), message });
  }

  /** The fields every record of this request has. */
  #subject(level: Level, event: LogRecord["event"]): LogRecord {
    const { hostname, method, path, context } = this.#options;
    const { identity } = context;
    return {
      time: Date.now(),
      level,
      component: "proxy_handler",
      event,
      hostname,
      ip: context.connection.addresses.source.ip,
      conn: context.connection.id,
      req: context.id,
      method,
      path,
      ...(this.mcp === undefined ? {} : { mcp_method: this.mcp.method }),
      ...(this.mcp?.tool === undefined ? {} : { mcp_tool: this.mcp.tool }),
      ...(this.upstream === undefined ? {} : { upstream: this.upstream }),
      ...(this.upstreamMs === undefined ? {} : { upstream_ms: this.upstreamMs }),
      ...(identity === undefined
        ? {}
        : {
            user: identity.login,
            uid: identity.uid,
            scopes: identity.scopes,
            client_id: identity.clientId,
          }),
    };
  }
}

function statusLevel(status: number): Level {
  if (status >= 500 || status < 100) return "error";
  return status >= 400 ? "warn" : "info";
}
