import type { IncomingMessage } from "node:http";
import type { Http2ServerRequest } from "node:http2";
import { Readable } from "node:stream";
import { isReset } from "./http2-stream.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Bytes held between peer and upstream before the peer is paused. */
const BUFFER_BYTES = 65_536;
/** What is still read of a body nobody wants any more, so that a peer that is writing gets to read the answer. */
const MAX_DISCARDED_BYTES = 1_048_576;
const MAX_DISCARD_MS = 5_000;

/** The body passed the bound of the request it belongs to. */
export class BodyTooLargeError extends Error {
  override readonly name = "BodyTooLargeError";
}

/** The body came to a halt though the upstream was reading. */
export class BodyStalledError extends Error {
  override readonly name = "BodyStalledError";
}

export interface RequestBodyOptions {
  /** Most bytes passed on; 0 for no limit. */
  readonly maxBytes: number;
  /** Milliseconds between two chunks; 0 for no limit. */
  readonly maxIdleMs: number;
  /** Told the first chunk as it passes; it is neither held back nor changed. */
  readonly onFirstChunk?: ((chunk: Buffer) => void) | undefined;
  /** The whole body, when it was read before; the source then has no more. */
  readonly whole?: Buffer | undefined;
}

/**
 * A request's body on its way to the upstream. It stands between the two because undici destroys the stream it was given when the
 * exchange is over, which on HTTP/2 would take the response down with it. Nothing is read before the upstream's connection asks.
 */
export class RequestBody extends Readable {
  readonly #source: IncomingMessage | Http2ServerRequest;
  readonly #options: RequestBodyOptions;
  #bytes = 0;
  #isReading = false;
  #isWhole: boolean;
  #clock: NodeJS.Timeout | undefined;

  constructor(source: IncomingMessage | Http2ServerRequest, options: RequestBodyOptions) {
    super({ highWaterMark: BUFFER_BYTES });
    this.#source = source;
    this.#options = options;
    this.#isWhole = options.whole !== undefined;
  }

  /** Bytes of the body that arrived so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** All of it has arrived and was taken in. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /** From now on the body may pause as long as it likes: the upstream has begun to answer and knows what it waits for. */
  stopClock(): void {
    clearTimeout(this.#clock);
    this.#clock = undefined;
  }

  override _read(): void {
    if (this.#isReading) {
      this.#source.resume();
      return;
    }
    this.#isReading = true;
    if (this.#options.whole !== undefined) {
      this.#onData(this.#options.whole);
      if (!this.destroyed) this.push(null);
      return;
    }
    if (this.#options.maxIdleMs > 0) this.#clock = setTimeout(this.#onIdle, this.#options.maxIdleMs);
    this.#source.on("data", this.#onData).on("end", this.#onEnd).on("close", this.#onClose);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.stopClock();
    this.#source.off("data", this.#onData).off("end", this.#onEnd).off("close", this.#onClose);
    if (!this.#source.destroyed && !this.#source.readableEnded) discard(this.#source);
    callback(error);
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#bytes === 0) this.#options.onFirstChunk?.(chunk);
    this.#bytes += chunk.length;
    this.#clock?.refresh();
    if (this.#options.maxBytes > 0 && this.#bytes > this.#options.maxBytes) {
      this.destroy(new BodyTooLargeError("request body over the limit"));
    } else if (!this.push(chunk)) {
      this.#source.pause();
    }
  };

  readonly #onIdle = (): void => {
    // Paused means that the upstream does not read: that is not the peer's fault.
    if (this.#source.isPaused()) this.#clock?.refresh();
    else this.destroy(new BodyStalledError("request body stalled"));
  };

  readonly #onEnd = (): void => {
    this.stopClock();
    // Node ends the body of an HTTP/2 stream that was reset like one that is whole.
    if (isReset(this.#source)) this.#cut();
    else {
      this.#isWhole = true;
      this.push(null);
    }
  };

  readonly #onClose = (): void => {
    if (!this.#source.readableEnded) this.#cut();
  };

  /** Closed before its end: an upstream must never take what came so far for the whole. */
  #cut(): void {
    this.destroy(new UpstreamError("aborted_by_peer"));
  }
}

/**
 * Reads on and forgets, within bounds: left unread, the rest would stop every later request of the connection; closed at once, a
 * reset would overtake the answer on its way to the peer.
 */
export function discard(source: IncomingMessage | Http2ServerRequest): void {
  let left = MAX_DISCARDED_BYTES;
  const timer = setTimeout(() => {
    source.destroy();
  }, MAX_DISCARD_MS).unref();
  source.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left < 0) source.destroy();
  });
  source.once("close", () => {
    clearTimeout(timer);
  });
  source.once("end", () => {
    clearTimeout(timer);
  });
  source.resume();
}
