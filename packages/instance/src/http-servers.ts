import { createServer, type IncomingMessage, type Server } from "node:http";
import type { Http2Server, ServerHttp2Session } from "node:http2";
import { OpenSet } from "@gatehouse/shared/open-set";
import type { Duplex } from "node:stream";
import { HttpConnection } from "./http-connection.ts";
import type { Request, Response } from "./refusal.ts";
import type { ConnectionContext } from "./request-context.ts";
import { isWebSocketUpgrade } from "./websocket.ts";

export interface HttpLimits {
  /** Milliseconds for the header of a request to arrive. */
  readonly headersTimeoutMs: number;
  /** Milliseconds without a request after which a connection is closed. */
  readonly idleTimeoutMs: number;
  /** The same where nothing but refusals was ever answered. */
  readonly refusedIdleTimeoutMs: number;
  /** Octets of one request header. */
  readonly maxHeaderBytes: number;
}

/** What happens on a connection. All are called with the context of {@link HttpServers.serve}, and none may throw. */
export interface HttpEvents {
  request(request: Request, response: Response, connection: ConnectionContext): void;
  /** The peer waits for a 100 before it sends its body (RFC 9110 section 10.1.1). */
  expectContinue(request: Request, response: Response, connection: ConnectionContext): void;
  /** The peer expects something that nobody here knows; left alone, Node would answer without a word to anyone. */
  expectUnknown(request: Request, response: Response, connection: ConnectionContext): void;
  upgrade(
    request: IncomingMessage,
    upgraded: { socket: Duplex; head: Buffer },
    connection: ConnectionContext,
  ): void;
  /** CONNECT over HTTP/1.1: Node has taken the socket out of HTTP. */
  connect(request: IncomingMessage, socket: Duplex, connection: ConnectionContext): void;
  /**
   * Bytes that are no request, or none in time. The callee ends the socket; `mayAnswer` is false where an answer would come into the
   * middle of another.
   */
  malformed(
    error: NodeJS.ErrnoException,
    at: { socket: Duplex; mayAnswer: boolean },
    connection: ConnectionContext,
  ): void;
  /** The HTTP/2 session was ended because the peer broke its rules or bounds; what ran on it ends with it. */
  sessionFailed(error: Error, connection: ConnectionContext): void;
}

/** How often Node looks for late headers. */
const CHECK_INTERVAL_MS = 1000;
/** Octets a peer may send on one HTTP/2 stream, and on one connection, before it must wait for us; the bound of what we hold. */
const STREAM_WINDOW_BYTES = 524_288;
const CONNECTION_WINDOW_BYTES = 1_048_576;
/** Requests open at once on one HTTP/2 connection; each event stream is one. */
const MAX_STREAMS = 256;

/**
 * HTTP/1.1 and HTTP/2 over TLS sockets that were accepted elsewhere: neither server listens, both are handed connections. Knows
 * the connection behind each request, counts what runs, and drains.
 */
export class HttpServers {
  readonly #http1: Server;
  /** Made for the first peer that speaks HTTP/2: what Node has for it takes 9 ms of a start and a MiB. */
  #http2: Http2Server | undefined;
  readonly #events: HttpEvents;
  readonly #limits: HttpLimits;
  readonly #open = new OpenSet<HttpConnection>();
  /** By TLS socket and by HTTP/2 session: what Node hands us with a request. */
  readonly #byOwner = new WeakMap<object, HttpConnection>();
  #isDraining = false;

  constructor(limits: HttpLimits, events: HttpEvents) {
    this.#limits = limits;
    this.#events = events;
    this.#http1 = this.#makeHttp1();
  }

  /** Connections that speak HTTP. */
  get connections(): number {
    return this.#open.size;
  }

  /** Requests that run, event streams among them; upgraded connections are not counted. */
  get running(): number {
    let count = 0;
    for (const connection of this.#open) count += connection.running;
    return count;
  }

  /**
   * Takes over a socket whose handshake is done; bytes it already holds are read first. `onFirstRequest` is called when its first
   * request header is whole.
   */
  serve(context: ConnectionContext, onFirstRequest: () => void): void {
    const { socket } = context;
    const connection = new HttpConnection(context, {
      refusedIdleTimeoutMs: this.#limits.refusedIdleTimeoutMs,
      onFirstRequest,
    });
    const place = this.#open.add(connection);
    this.#byOwner.set(socket, connection);
    socket.once("close", () => this.#open.delete(place));
    if (this.#isDraining) connection.drain();
    if (socket.alpnProtocol !== "h2") {
      this.#http1.emit("connection", socket);
      return;
    }
    this.#http2 ??= this.#makeHttp2();
    // `session` is emitted inside the next call, so there is no other session it could be.
    this.#http2.once("session", (session) => this.#sessionOpened(session, connection));
    this.#http2.emit("connection", socket);
  }

  /** From now on connections end as soon as nothing runs on them, and peers are told (`Connection: close`, GOAWAY). */
  drain(): void {
    this.#isDraining = true;
    for (const connection of this.#open) connection.drain();
  }

  /** Frees what the servers hold themselves; connections must be gone. */
  close(): void {
    this.#http1.close();
  }

  #makeHttp1(): Server {
    const { headersTimeoutMs, idleTimeoutMs, maxHeaderBytes } = this.#limits;
    const server = createServer({
      headersTimeout: headersTimeoutMs,
      // The body has no deadline: a long upload is as good as a short one, and the forwarder ends those that stand still.
      requestTimeout: 0,
      keepAliveTimeout: idleTimeoutMs,
      connectionsCheckingInterval: Math.min(CHECK_INTERVAL_MS, headersTimeoutMs),
      maxHeaderSize: maxHeaderBytes,
      // Missing ones are refused with all others that are wrong, so that they are recorded.
      requireHostHeader: false,
      shouldUpgradeCallback: isWebSocketUpgrade,
    });
    server.on("request", (request, response) => this.#began(request, response, "request"));
    server.on("checkContinue", (request, response) => this.#began(request, response, "expectContinue"));
    server.on("checkExpectation", (request, response) => this.#began(request, response, "expectUnknown"));
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const connection = this.#of(request.socket);
      connection?.upgraded();
      if (connection) this.#events.upgrade(request, { socket, head }, connection.context);
    });
    server.on("connect", (request: IncomingMessage, socket: Duplex) => {
      const connection = this.#of(request.socket);
      if (connection) this.#events.connect(request, socket, connection.context);
    });
    server.on("clientError", (error, socket) => this.#failed(error, socket));
    // Node arms the checks behind headersTimeout when a server starts to listen, which this one never does.
    server.emit("listening");
    return server;
  }

  #makeHttp2(): Http2Server {
    const server = process.getBuiltinModule("node:http2").createServer({
      settings: {
        maxConcurrentStreams: MAX_STREAMS,
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxHeaderListSize: this.#limits.maxHeaderBytes,
        enablePush: false,
      },
      // What one peer can make us hold or do: memory in MB, header fields, settings and pings to answer, frames that are wrong,
      // streams opened and reset at once (CVE-2023-44487: a burst, then so many a second). Over any of these the session ends.
      maxSessionMemory: 10,
      maxHeaderListPairs: 256,
      maxSettings: 32,
      maxOutstandingPings: 10,
      maxSessionInvalidFrames: 100,
      maxSessionRejectedStreams: 100,
      streamResetBurst: 500,
      streamResetRate: 50,
    });
    server.on("request", (request, response) => this.#began(request, response, "request"));
    server.on("checkContinue", (request, response) => this.#began(request, response, "expectContinue"));
    server.on("checkExpectation", (request: Request, response: Response) =>
      this.#began(request, response, "expectUnknown"),
    );
    // CONNECT: an ordinary stream here, refused like any other method.
    server.on("connect", (request: Request, response: Response) => this.#began(request, response, "request"));
    server.on("sessionError", (error, session) => {
      const connection = this.#of(session);
      if (connection && !hasLeft(error)) this.#events.sessionFailed(error, connection.context);
    });
    return server;
  }

  #sessionOpened(session: ServerHttp2Session, connection: HttpConnection): void {
    this.#byOwner.set(session, connection);
    connection.openedSession(session);
    // The session's own window is not a setting; until it is raised a fast upload stops every 64 KiB for a round trip.
    session.once("connect", () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    session.setTimeout(this.#limits.idleTimeoutMs, () => {
      if (connection.running === 0) session.close();
    });
  }

  #began(request: Request, response: Response, event: "request" | "expectContinue" | "expectUnknown"): void {
    const connection = this.#of("stream" in request ? request.stream.session : request.socket);
    // A stream whose session is gone already: nobody is left to answer.
    if (!connection) return;
    connection.began(response);
    this.#events[event](request, response, connection.context);
  }

  #failed(error: NodeJS.ErrnoException, socket: Duplex): void {
    const connection = this.#of(socket);
    // A peer that just left broke no rule: what ran says so.
    if (!connection || hasLeft(error)) socket.destroy();
    else {
      // In the middle of a response nothing more can be said; and nobody reads when the peer has closed.
      const mayAnswer = connection.running === 0 && socket.writable;
      this.#events.malformed(error, { socket, mayAnswer }, connection.context);
    }
  }

  #of(owner: object | undefined): HttpConnection | undefined {
    return owner === undefined ? undefined : this.#byOwner.get(owner);
  }
}

function hasLeft({ code }: NodeJS.ErrnoException): boolean {
  return code === "ECONNRESET" || code === "EPIPE";
}

/** Why what the peer sent was no request: for want of time, of room, or of sense. */
export function malformedReason({
  code,
}: NodeJS.ErrnoException): "request_timeout" | "header_too_large" | "malformed_request" {
  if (code === "ERR_HTTP_REQUEST_TIMEOUT") return "request_timeout";
  return code === "HPE_HEADER_OVERFLOW" ? "header_too_large" : "malformed_request";
}
