import type { Dispatcher } from "undici";
import type { AccessRecord, StreamEndReason } from "./access-log.ts";
import { PEER_LEFT_STATUS } from "./access-log.ts";
import { BodyStalledError, BodyTooLargeError, type RequestBody } from "./request-body.ts";
import { readResponseFields, readTrailers } from "./response-fields.ts";
import { isBodiless, type ResponseWriter } from "./response-writer.ts";
import { answerShortly, type ShortStatus } from "./short-answer.ts";
import { isBrokenConnection, UpstreamError, upstreamErrorKind } from "./upstream-error.ts";
import type { UpstreamConnection, UpstreamPool } from "./upstream-pool.ts";

/** Methods that may be sent twice without harm (RFC 9110 section 9.2.2). */
const IDEMPOTENT: ReadonlySet<string> = new Set(["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]);

export interface ExchangeOptions {
  readonly pool: UpstreamPool;
  readonly writer: ResponseWriter;
  readonly access: AccessRecord;
  readonly requestId: string;
  readonly method: string;
  /** Path with base path and query, as it goes on the wire. */
  readonly path: string;
  readonly headers: string[];
  readonly body: RequestBody | undefined;
}

/** Interim responses of one exchange that are passed on; they know no backpressure, so an endless row of them would fill our memory. */
const MAX_INTERIM = 100;

type Phase = "connect" | "headers" | "body" | "over";

/**
 * One request at the upstream and its response to the peer: undici's handler, writing straight to the peer's response. Whichever
 * side leaves first takes the other down; a response that is not whole is never ended as one.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #options: ExchangeOptions;
  readonly #settled = Promise.withResolvers<void>();
  #connection: UpstreamConnection | undefined;
  #controller: Dispatcher.DispatchController | undefined;
  #phase: Phase = "connect";
  /** `performance.now()` when the request was handed over, to the connection that carries it. */
  #dispatchedAt = 0;
  #canRetry: boolean;
  #isEventStream = false;
  /** Why an event stream, should the answer be one, is to end at once. */
  #streamUnwanted: StreamEndReason | undefined;
  #announcesTrailers = false;
  #endsWithConnection = false;
  #awaitsDrain = false;
  #interimCount = 0;

  constructor(options: ExchangeOptions) {
    this.#options = options;
    this.#canRetry = options.body === undefined && IDEMPOTENT.has(options.method);
    options.writer.onClose(() => {
      this.#onPeerClose();
    });
  }

  /** Settles when the response is over and the record written. Never rejects. */
  get settled(): Promise<void> {
    return this.#settled.promise;
  }

  get isEventStream(): boolean {
    return this.#isEventStream;
  }

  /** Sends the request. 503 when the upstream has as many connections as it may. */
  start(isFresh = false): void {
    const { pool, method, path, headers, body } = this.#options;
    this.#connection = pool.acquire(isFresh);
    if (this.#connection === undefined) {
      this.#phase = "over";
      this.#options.access.endedBy = "gateway";
      this.#fail(503, "upstream_busy");
      return;
    }
    this.#dispatchedAt = performance.now();
    this.#connection.dispatch({ method, path, headers, body: body ?? null }, this);
  }

  /** Ends an event stream in order, as its source would, also one that is still to begin; leaves any other response to finish. */
  endStream(reason: StreamEndReason): void {
    this.#streamUnwanted = reason;
    if (!this.#isEventStream || this.#phase === "over") return;
    this.#options.access.endedBy = "gateway";
    this.#options.access.reason = reason;
    this.#leaveUpstream(new UpstreamError("reset"));
    this.#options.writer.end([]);
  }

  /**
   * Ends a request that is still arriving: the upstream never has the whole of it, so it does not act, and the peer is asked to come again
   * and hear why. What has arrived, or is answered already, is left to finish.
   */
  endUnfinished(reason: StreamEndReason): void {
    const { body, writer } = this.#options;
    if (body === undefined || body.isWhole || writer.hasStarted) return;
    this.#cutOff(reason);
  }

  /** Ends the exchange at once. */
  abort(): void {
    this.#cutOff("stopping");
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#phase === "over") {
      controller.abort(new UpstreamError("aborted_by_peer"));
      return;
    }
    this.#controller = controller;
    this.#phase = "headers";
  }

  /** The first octets of an answer: from here on the upstream has acted, and nothing is sent twice. */
  onResponseStarted(): void {
    this.#canRetry = false;
  }

  // oxlint-disable-next-line max-params -- undici's signature
  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _headers: unknown,
    message = "",
  ): void {
    const { method, writer, access } = this.#options;
    const hasBody = method !== "HEAD" && !isBodiless(status) && status >= 200;
    const response = readResponseFields(controller.rawHeaders, hasBody);
    if (status < 200) {
      if (++this.#interimCount <= MAX_INTERIM) writer.inform(status, response.fields);
      return;
    }
    // Thrown to undici, which gives the connection up and tells onResponseError.
    if (response.isCoded && hasBody) throw new UpstreamError("malformed");
    this.#options.body?.stopClock();
    this.#phase = "body";
    this.#isEventStream = response.isEventStream && hasBody;
    this.#announcesTrailers = response.announcesTrailers;
    this.#endsWithConnection = response.endsWithConnection;
    access.status = status;
    access.upstreamMs = performance.now() - this.#dispatchedAt;
    writer.start({ status, message, ...response });
    if (!this.#isEventStream) return;
    access.streamStarted("SSE");
    if (this.#streamUnwanted !== undefined) this.endStream(this.#streamUnwanted);
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    const { access, writer } = this.#options;
    access.bytesOut += chunk.length;
    if (this.#isEventStream) access.streamChunk(chunk.length);
    if (writer.write(chunk)) return;
    controller.pause();
    if (this.#awaitsDrain) return;
    this.#awaitsDrain = true;
    writer.onDrain(() => {
      this.#controller?.resume();
    });
  }

  onResponseEnd(controller: Dispatcher.DispatchController): void {
    if (this.#phase === "over") return;
    // undici takes a reset for the end of a body that only the end of the connection delimits. It is not.
    if (this.#endsWithConnection && this.#connection?.isBroken === true) {
      this.onResponseError(controller, new UpstreamError("reset"));
      return;
    }
    this.#release();
    this.#options.writer.end(this.#announcesTrailers ? readTrailers(controller.rawTrailers) : []);
    this.#options.body?.destroy();
  }

  onResponseError(_controller: unknown, error: Error): void {
    if (this.#phase === "over") return;
    const phase = this.#phase;
    const mayRetry = this.#canRetry && this.#connection?.isReused === true && isBrokenConnection(error);
    this.#release();
    if (mayRetry) {
      // The kept connection was closing while the request was on its way: once, and on a new one (RFC 9110 section 9.2.2).
      this.#canRetry = false;
      this.#controller = undefined;
      this.#phase = "connect";
      this.start(true);
      return;
    }
    this.#options.access.phase = phase;
    const own = ownRefusal(error);
    if (own !== undefined) {
      this.#options.access.endedBy = "gateway";
      this.#fail(...own);
      return;
    }
    const kind = upstreamErrorKind(error);
    this.#fail(kind === "timeout" ? 504 : 502, kind);
  }

  #cutOff(reason: StreamEndReason): void {
    if (this.#phase === "over") return;
    this.#options.access.endedBy = "gateway";
    this.#leaveUpstream(new UpstreamError("reset"));
    this.#fail(503, reason);
  }

  #fail(status: ShortStatus, reason: string): void {
    const { writer, access, requestId, method, body } = this.#options;
    access.reason = reason;
    if (writer.hasStarted) writer.reset();
    else answerShortly(writer, access, { status, requestId, isHead: method === "HEAD" });
    body?.destroy();
  }

  /** Gives the upstream up; nothing it still says is heard. */
  #leaveUpstream(reason: UpstreamError): void {
    const connection = this.#connection;
    this.#phase = "over";
    if (this.#controller === undefined) connection?.destroy(reason);
    else this.#controller.abort(reason);
    this.#release();
  }

  #release(): void {
    this.#phase = "over";
    if (this.#connection === undefined) return;
    this.#options.pool.release(this.#connection);
    this.#connection = undefined;
  }

  #onPeerClose(): void {
    const { access, writer, body } = this.#options;
    if (this.#phase !== "over") {
      access.phase = this.#phase;
      this.#leaveUpstream(new UpstreamError("aborted_by_peer"));
      noteAbort(access, writer);
    } else if (!writer.isWhole && access.reason === undefined) {
      // The upstream was done, the last octets were still on their way to the peer.
      access.phase = "body";
      noteAbort(access, writer);
    }
    access.bytesIn = body?.bytes ?? 0;
    body?.destroy();
    access.ended();
    this.#settled.resolve();
  }
}

function noteAbort(access: AccessRecord, writer: ResponseWriter): void {
  access.endedBy = "peer";
  access.reason = "aborted_by_peer";
  if (!writer.hasStarted) access.status = PEER_LEFT_STATUS;
}

/** What this gateway has against a request on its way, where the upstream is not to blame. */
function ownRefusal(error: Error): [status: ShortStatus, reason: string] | undefined {
  if (error instanceof BodyTooLargeError) return [413, "content_too_large"];
  if (error instanceof BodyStalledError) return [408, "body_stalled"];
  return isInvalidRequest(error) ? [400, "bad_request"] : undefined;
}

/** undici refused to send it: two lengths, a name that is no token. What this gateway's own parser let through is still not ours to repair. */
function isInvalidRequest(error: Error): boolean {
  return "code" in error && error.code === "UND_ERR_INVALID_ARG";
}
