import type { ServerResponse } from "node:http";
import type { Http2ServerResponse } from "node:http2";
import { toFieldMap, toJoinedMap } from "./field-map.ts";
import { NO_ERROR } from "./http2-stream.ts";

/** The head of a response as it goes to the peer. */
interface ResponseHead {
  readonly status: number;
  /** Reason phrase; HTTP/2 has none. */
  readonly message: string;
  /** Flat name-value list without connection fields. */
  readonly fields: readonly string[];
  readonly announcesTrailers: boolean;
}

/** One response towards a peer, the same for both protocols. Every call after the peer left does nothing. */
export interface ResponseWriter {
  /** True once a head was handed over: from then on the status can't change. */
  readonly hasStarted: boolean;
  /** True once everything up to the end was handed to the connection. */
  readonly isWhole: boolean;
  /** Sends an interim response (1xx but 101), where peer and runtime know them. */
  inform(status: number, fields: readonly string[]): void;
  start(head: ResponseHead): void;
  /** Returns false when the peer reads more slowly than this: wait for `onDrain`. */
  write(chunk: Buffer): boolean;
  end(trailers: readonly [string, string][]): void;
  /** Ends a response that is not whole, so that no peer can take it for one. */
  reset(): void;
  onDrain(listener: () => void): void;
  /** Once, when the response is over: sent, or cut by the peer. */
  onClose(listener: () => void): void;
}

/** Opens the response; `toPeer` has the last word about the fields of every head, the gateway's own answers included. */
export function openResponse(
  response: ServerResponse | Http2ServerResponse,
  toPeer: FieldsToPeer = unchanged,
): ResponseWriter {
  return "stream" in response ? new Http2Response(response, toPeer) : new Http1Response(response, toPeer);
}

/** Returns the fields (a flat name-value list) that go to the peer. */
type FieldsToPeer = (status: number, fields: readonly string[]) => readonly string[];

function unchanged(_status: number, fields: readonly string[]): readonly string[] {
  return fields;
}

/** Status codes whose responses end with their head (RFC 9110 sections 15.3.5, 15.4.5). */
export function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

class Http1Response implements ResponseWriter {
  readonly #response: ServerResponse;
  readonly #toPeer: FieldsToPeer;
  #hasWritten = false;

  constructor(response: ServerResponse, toPeer: FieldsToPeer) {
    this.#response = response;
    this.#toPeer = toPeer;
  }

  get hasStarted(): boolean {
    return this.#response.headersSent;
  }

  get isWhole(): boolean {
    return this.#response.writableFinished;
  }

  inform(status: number, fields: readonly string[]): void {
    // Not for HTTP/1.0 (RFC 9110 section 15.2); Node before 24.18 can't send all of them.
    if (this.#response.req.httpVersionMinor === 0 || this.hasStarted) return;
    if (typeof this.#response.writeInformation === "function")
      this.#response.writeInformation(status, [...this.#toPeer(status, fields)]);
  }

  start({ status, message, fields: given, announcesTrailers }: ResponseHead): void {
    const fields = this.#toPeer(status, given);
    const isChunkable = this.#response.req.httpVersionMinor > 0;
    const kept = status === 204 || (announcesTrailers && !isChunkable) ? withoutFraming(fields) : [...fields];
    this.#response.writeHead(status, message, kept);
    // A head with its body behind it goes out in one write; without one it must not wait, or a quiet stream would look dead.
    process.nextTick(flushHead, this);
  }

  write(chunk: Buffer): boolean {
    this.#hasWritten = true;
    return this.#response.write(chunk);
  }

  end(trailers: readonly [string, string][]): void {
    if (trailers.length > 0) this.#response.addTrailers(trailers);
    this.#response.end();
  }

  reset(): void {
    this.#response.destroy();
  }

  onDrain(listener: () => void): void {
    this.#response.on("drain", listener);
  }

  onClose(listener: () => void): void {
    // A peer that left before the request got here has had its event.
    if (this.#response.closed || this.#response.destroyed) setImmediate(listener);
    else this.#response.once("close", listener);
  }

  flush(): void {
    if (!this.#hasWritten && !this.#response.writableEnded) this.#response.flushHeaders();
  }
}

function flushHead(response: Http1Response): void {
  response.flush();
}

/** RFC 9110 section 8.6 bars Content-Length from a 204; Node bars Trailer from what is not chunked. */
function withoutFraming(fields: readonly string[]): string[] {
  const kept: string[] = [];
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    if (!/^(?:content-length|trailer)$/i.test(name)) kept.push(name, fields[i + 1] ?? "");
  }
  return kept;
}

class Http2Response implements ResponseWriter {
  readonly #response: Http2ServerResponse;
  readonly #stream: Http2ServerResponse["stream"];
  readonly #toPeer: FieldsToPeer;

  constructor(response: Http2ServerResponse, toPeer: FieldsToPeer) {
    this.#response = response;
    this.#toPeer = toPeer;
    this.#stream = response.stream;
    // What went wrong is read from `close`; without a listener the error of a reset stream would end the process.
    this.#stream.on("error", () => undefined);
  }

  get hasStarted(): boolean {
    return this.#stream.headersSent;
  }

  get isWhole(): boolean {
    // Not `writableFinished`: a short body and its END_STREAM leave in one frame, and the stream closes before `finish`.
    const { writableEnded, writableLength, rstCode } = this.#stream;
    return writableEnded && writableLength === 0 && rstCode === NO_ERROR;
  }

  inform(status: number, fields: readonly string[]): void {
    if (this.#isGone || this.hasStarted) return;
    this.#stream.additionalHeaders({ ":status": status, ...toFieldMap(this.#toPeer(status, fields)) });
  }

  start({ status, fields: given, announcesTrailers }: ResponseHead): void {
    if (this.#isGone) return;
    const fields = this.#toPeer(status, given);
    const kept = status === 204 ? withoutFraming(fields) : fields;
    // Written to the stream itself: the compatibility layer keeps one value of a repeated field.
    this.#stream.respond({ ":status": status, ...toFieldMap(kept) }, { waitForTrailers: announcesTrailers });
  }

  write(chunk: Buffer): boolean {
    return this.#isGone || this.#stream.writableEnded || this.#stream.write(chunk);
  }

  end(trailers: readonly [string, string][]): void {
    if (this.#isGone) return;
    // The compatibility layer sends them when the stream asks for trailers. What node:http2 refuses it would throw from there, where
    // nobody can catch it: a list under a name that has one value.
    if (trailers.length > 0) this.#response.addTrailers(toJoinedMap(trailers));
    this.#stream.end();
    if (this.#stream.endAfterHeaders || this.#response.req.complete) return;
    // A whole response before the whole request: tell the peer to stop sending (RFC 9113 section 8.1).
    this.#stream.once("finish", () => {
      this.#stream.close(NO_ERROR);
    });
  }

  reset(): void {
    // Not `close(code)`: that ends the stream first, and a peer may read END_STREAM before the reset: a cut body would look whole.
    this.#stream.destroy(new Error("response cut short"));
  }

  onDrain(listener: () => void): void {
    this.#stream.on("drain", listener);
  }

  onClose(listener: () => void): void {
    if (this.#stream.closed && this.#stream.destroyed) setImmediate(listener);
    else this.#stream.once("close", listener);
  }

  get #isGone(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }
}
