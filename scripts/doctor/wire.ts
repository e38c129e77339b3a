import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";

/** Longer than a busy host takes, shorter than a person waits. */
const PATIENCE_MS = 10_000;
/** Documents are a few KiB; a tool list may be longer. */
const MAX_BODY_LENGTH = 4 << 20;

/** Where the host is, and as what it is addressed. */
export interface WirePlace {
  readonly host: string;
  readonly port: number;
  readonly servername: string;
  readonly ca?: string | undefined;
}

export interface Call {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Enough of a body: an event stream may stay open after its answer. */
  readonly isEnough?: (text: string) => boolean;
  readonly timeoutMs?: number;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Milliseconds since the epoch when its head was there. */
  readonly receivedAt: number;
}

/** A connection attempt that failed, in the words of the socket or of TLS. */
export function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null) return String(error);
  if ("code" in error && typeof error.code === "string") return error.code;
  return "message" in error ? String(error.message) : "unknown";
}

/** True for what `once` throws when its time is over. */
export function isTimeout(error: unknown): boolean {
  return typeof error === "object" && error !== null && "name" in error && error.name === "AbortError";
}

/** HTTPS to one address under the name of the host: certificates are verified, nothing is followed, no answer is an exception. */
export class Wire {
  readonly #place: WirePlace;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });

  constructor(place: WirePlace) {
    this.#place = place;
  }

  /** Sends one request; the answer is whole unless it is enough. @throws when none comes */
  async call(url: URL, call: Call = {}): Promise<Answer> {
    const response = await this.open(url, call);
    const receivedAt = Date.now();
    const { isEnough = () => false, timeoutMs = PATIENCE_MS } = call;
    let text = "";
    const late = setTimeout(() => response.destroy(new Error("the answer did not end in time")), timeoutMs);
    try {
      for await (const chunk of response.setEncoding("utf8")) {
        text += String(chunk);
        if (text.length > MAX_BODY_LENGTH || isEnough(text)) break;
      }
    } finally {
      clearTimeout(late);
    }
    return { status: response.statusCode ?? 0, headers: response.headers, text, receivedAt };
  }

  /** Sends one request; the body of the answer is the caller's to read. @throws when no head comes in time */
  async open(url: URL, call: Call = {}): Promise<IncomingMessage> {
    const { method = "GET", headers = {}, body, timeoutMs = PATIENCE_MS } = call;
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const request = httpsRequest(
      {
        ...this.#place,
        ...(this.#place.ca === undefined ? {} : { ca: this.#place.ca }),
        agent: this.#agent,
        method,
        path: url.pathname + url.search,
        headers: { host: url.host, ...headers },
      },
      resolve,
    );
    request.on("error", reject);
    const late = setTimeout(() => request.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    request.end(body);
    return await promise.finally(() => clearTimeout(late));
  }

  close(): void {
    this.#agent.destroy();
  }
}

export type Handshake =
  | { readonly ok: true; readonly socket: TLSSocket }
  | { readonly ok: false; readonly code: string };

/**
 * Shakes hands and verifies nothing: what is wrong with a certificate is said by the socket. Nothing is sent on it. The caller
 * destroys it.
 */
export async function handshake(place: WirePlace, options: ConnectionOptions = {}): Promise<Handshake> {
  const { promise, resolve } = Promise.withResolvers<Handshake>();
  const socket = connect({
    ...place,
    ...(place.ca === undefined ? {} : { ca: place.ca }),
    ...options,
    rejectUnauthorized: false,
  });
  const late = setTimeout(() => socket.destroy(new Error("ETIMEDOUT")), PATIENCE_MS);
  socket.once("secureConnect", () => resolve({ ok: true, socket }));
  // Stays after the handshake too: the host may reset what we leave.
  socket.on("error", (error) => resolve({ ok: false, code: codeOf(error) }));
  socket.once("close", () => resolve({ ok: false, code: "closed" }));
  return await promise.finally(() => clearTimeout(late));
}
