import type { ServerHttp2Session } from "node:http2";
import { OpenSet } from "@gatehouse/shared/open-set";
import type { Response } from "./refusal.ts";
import type { ConnectionContext } from "./request-context.ts";

/**
 * Milliseconds that a connection without a request may still send its first one when the process drains: it is a peer that has just
 * shaken hands, and would see its request fail though another process was there to answer it.
 */
const FIRST_REQUEST_MS = 3000;

/** What a connection needs to know of its server. */
interface HttpConnectionOptions {
  /** Milliseconds without a request after which it is closed when nothing but refusals was ever answered on it. */
  readonly refusedIdleTimeoutMs: number;
  /** Called once, when the peer has sent a whole request header. */
  readonly onFirstRequest: () => void;
}

/** One HTTP connection: what runs on it, and how it ends when the process drains. */
export class HttpConnection {
  readonly context: ConnectionContext;
  readonly #running = new OpenSet<Response>();
  #session: ServerHttp2Session | undefined;
  #isUpgraded = false;
  #hadRequest = false;
  /** Something else than a refusal was answered. */
  #isProven = false;
  #idleTimer: NodeJS.Timeout | undefined;
  #isDraining = false;
  readonly #options: HttpConnectionOptions;

  constructor(context: ConnectionContext, options: HttpConnectionOptions) {
    this.context = context;
    this.#options = options;
  }

  /** Requests that run. */
  get running(): number {
    return this.#running.size;
  }

  openedSession(session: ServerHttp2Session): void {
    this.#session = session;
  }

  /** The connection is no HTTP any more: a WebSocket ends when its own streams are ended. */
  upgraded(): void {
    this.#isUpgraded = true;
    this.#heard();
  }

  began(response: Response): void {
    const place = this.#running.add(response);
    this.#heard();
    clearTimeout(this.#idleTimer);
    if (this.#isDraining) this.#finish();
    const statusOf = statusAfterwards(response);
    response.once("close", () => {
      this.#running.delete(place);
      if (statusOf() < 400) this.#isProven = true;
      if (this.#isDraining) this.#endIfIdle();
      else if (!this.#isProven && this.#running.size === 0) this.#watchIdle();
    });
  }

  /** HTTP/2: GOAWAY, the rest is the session's. HTTP/1.1: what runs is the last, and is told so while its header can still be changed. */
  drain(): void {
    this.#isDraining = true;
    if (this.#hadRequest || this.#isUpgraded) return this.#finish();
    const timer = setTimeout(() => this.#finish(), FIRST_REQUEST_MS).unref();
    this.context.socket.once("close", () => clearTimeout(timer));
  }

  /** A client that was told what it lacks goes on at once; one that only holds a place that others need does not. */
  #watchIdle(): void {
    this.#idleTimer = setTimeout(() => {
      this.#session?.close();
      this.#endIfIdle();
    }, this.#options.refusedIdleTimeoutMs).unref();
  }

  #heard(): void {
    if (!this.#hadRequest) this.#options.onFirstRequest();
    this.#hadRequest = true;
  }

  #finish(): void {
    this.#session?.close();
    for (const response of this.#running) this.#announceEnd(response);
    this.#endIfIdle();
  }

  #announceEnd(response: Response): void {
    if (!this.#session && !response.headersSent) response.setHeader("connection", "close");
  }

  #endIfIdle(): void {
    if (this.#session || this.#isUpgraded || this.#running.size > 0) return;
    // In order: what was written is still sent.
    this.context.socket.end();
  }
}

/** Returns what tells the status when the response is over, also one that was sent on the stream itself. Not answered is no good answer. */
function statusAfterwards(response: Response): () => number {
  if (!("stream" in response)) return () => (response.headersSent ? response.statusCode : Infinity);
  const { stream } = response;
  return () => Number(stream.sentHeaders?.[":status"] ?? Infinity);
}
