import type { ServerHttp2Session } from "node:http2";
import type { Response } from "./refusal.ts";
import type { ConnectionContext } from "./request-context.ts";

/**
 * Milliseconds that a connection without a request may still send its first one when the process drains: it is a peer that has just
 * shaken hands, and would see its request fail though another process was there to answer it.
 */
const FIRST_REQUEST_MS = 3000;

/** One HTTP connection: what runs on it, and how it ends when the process drains. */
export class HttpConnection {
  readonly context: ConnectionContext;
  readonly #running = new Set<Response>();
  #session: ServerHttp2Session | undefined;
  #isUpgraded = false;
  #hadRequest = false;
  #isDraining = false;
  readonly #onFirstRequest: () => void;

  /** `onFirstRequest`: called once, when the peer has sent a whole request header. */
  constructor(context: ConnectionContext, onFirstRequest: () => void) {
    this.context = context;
    this.#onFirstRequest = onFirstRequest;
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
    this.#running.add(response);
    this.#heard();
    if (this.#isDraining) this.#finish();
    response.once("close", () => {
      this.#running.delete(response);
      if (this.#isDraining) this.#endIfIdle();
    });
  }

  /** HTTP/2: GOAWAY, the rest is the session's. HTTP/1.1: what runs is the last, and is told so while its header can still be changed. */
  drain(): void {
    this.#isDraining = true;
    if (this.#hadRequest || this.#isUpgraded) return this.#finish();
    const timer = setTimeout(() => this.#finish(), FIRST_REQUEST_MS).unref();
    this.context.socket.once("close", () => clearTimeout(timer));
  }

  #heard(): void {
    if (!this.#hadRequest) this.#onFirstRequest();
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
