import type { OnReadOpts, Socket } from "node:net";
import { abortTcp } from "./abort.ts";
import type { PeerListener } from "./peer-events.ts";
import type { ReadBuffers } from "./read-buffers.ts";
import type { Sweep, Swept } from "./sweep.ts";
import type { Ending } from "./termination.ts";

/** What all splices share. */
export interface SpliceContext {
  readonly buffers: ReadBuffers;
  readonly sweep: Sweep;
  readonly settings: SpliceDeadlines;
}

interface SpliceDeadlines {
  /** Milliseconds without a byte either way before the connection is aborted; 0: never. */
  readonly idleTimeoutMs: number;
  /** Milliseconds without a byte before a connection is aborted of which one direction has ended. */
  readonly halfCloseTimeoutMs: number;
}

/**
 * Carries bytes between a peer and a target until both directions have ended. Backpressure both ways, half-close kept, an abort of one
 * side passed on to the other; memory is bounded by one read and one write high-water mark per direction. Never looks at the bytes.
 *
 * The target is read through {@link onread}, given to `net.connect`, so it exists before the target does: make the splice, dial with
 * `onread`, then {@link run}.
 */
export class Splice implements Swept, PeerListener {
  readonly onread: OnReadOpts;
  /** Octets read from the peer, replayed ones included, and from the target. */
  bytesIn = 0;
  bytesOut = 0;
  readonly #peer: Socket;
  readonly #context: SpliceContext;
  readonly #done = Promise.withResolvers<Ending>();
  #target: Socket | undefined;
  #isTcpTarget = false;
  #lease: Buffer | undefined;
  #isPeerPaused = false;
  #isTargetPaused = false;
  #isHalfClosed = false;
  #open = 2;
  #ending: Ending | undefined;
  #isAborted = false;
  #lastByteAt: number;

  constructor(peer: Socket, context: SpliceContext) {
    this.#peer = peer;
    this.#context = context;
    this.#lastByteAt = context.sweep.now;
    this.onread = {
      buffer: () => this.#lease ?? this.#context.buffers.shared,
      callback: (length) => this.#fromTarget(length),
    };
  }

  /**
   * Sends `first` (PROXY header and replayed bytes, one write) and carries bytes until both sockets are closed. Settles with who
   * ended it; never rejects.
   */
  run(target: Socket, first: Buffer, options: { readonly isTcp: boolean }): Promise<Ending> {
    const peer = this.#peer;
    this.#target = target;
    this.#isTcpTarget = options.isTcp;
    this.#lastByteAt = this.#context.sweep.now;
    target
      .on("end", () => this.#ended("target closed"))
      .on("error", () => this.abort("target aborted"))
      .on("drain", () => this.#targetDrained())
      .on("close", () => this.#closed("target aborted"));
    this.#isPeerPaused = !target.write(first) && target.writableLength > 0;
    if (peer.readableEnded) this.#ended("peer closed");
    else if (this.#isPeerPaused) peer.pause();
    else peer.resume();
    return this.#done.promise;
  }

  /**
   * Aborts both sides; the first abort is the one that is reported. It outranks an end seen before: when a direction that was still
   * open fails, bytes may be missing.
   */
  abort(ending: Ending): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    this.#ending = ending;
    abortTcp(this.#peer);
    if (this.#isTcpTarget && this.#target) abortTcp(this.#target);
    else this.#target?.destroy();
  }

  /** The two deadlines, seen at most one sweep late. */
  sweep(now: number): void {
    const { idleTimeoutMs, halfCloseTimeoutMs } = this.#context.settings;
    const quietMs = now - this.#lastByteAt;
    if (this.#isHalfClosed && quietMs > halfCloseTimeoutMs) this.abort("half-close timeout");
    else if (idleTimeoutMs > 0 && quietMs > idleTimeoutMs) this.abort("idle timeout");
  }

  /** The chunk is ours alone (Node allocates it per read), so it may stay pending as long as it likes. */
  onPeerData(chunk: Buffer): void {
    const target = this.#target;
    if (target === undefined) return;
    this.bytesIn += chunk.length;
    this.#lastByteAt = this.#context.sweep.now;
    if (target.write(chunk) || target.writableLength === 0) return;
    this.#isPeerPaused = true;
    this.#peer.pause();
  }

  /** Called with the target's bytes in the lease or the shared buffer; false stops the reading until the peer has drained. */
  #fromTarget(length: number): boolean {
    const peer = this.#peer;
    this.bytesOut += length;
    this.#lastByteAt = this.#context.sweep.now;
    if (peer.write(this.#takeChunk(length)) || peer.writableLength === 0) return true;
    this.#isTargetPaused = true;
    return false;
  }

  /** Returns the bytes just read in memory that stays theirs until they are flushed, and chooses what the next read fills. */
  #takeChunk(length: number): Buffer {
    const { buffers } = this.#context;
    const lease = this.#lease;
    // From its high-water mark on, a write that is not flushed at once reports it and `drain` follows: only then may a lease be written from.
    if (lease && length >= this.#peer.writableHighWaterMark) return lease.subarray(0, length);
    const chunk = Buffer.allocUnsafe(length);
    (lease ?? buffers.shared).copy(chunk, 0, 0, length);
    if (lease) this.#endLease();
    else if (length === buffers.shared.length) this.#lease = buffers.lease();
    return chunk;
  }

  #endLease(): void {
    if (this.#lease) this.#context.buffers.giveBack(this.#lease);
    this.#lease = undefined;
  }

  onPeerEnd(): void {
    this.#ended("peer closed");
  }

  onPeerError(): void {
    this.abort("peer aborted");
  }

  onPeerClose(): void {
    this.#closed("peer aborted");
  }

  /** Draining is progress too: a slow reader is not idle while bytes reach it. */
  onPeerDrain(): void {
    this.#lastByteAt = this.#context.sweep.now;
    if (!this.#isTargetPaused) return;
    this.#isTargetPaused = false;
    this.#target?.resume();
  }

  #targetDrained(): void {
    this.#lastByteAt = this.#context.sweep.now;
    if (!this.#isPeerPaused) return;
    this.#isPeerPaused = false;
    this.#peer.resume();
  }

  /** Passes an end on; the other direction stays as it is. The first end is the one that is reported. */
  #ended(ending: "peer closed" | "target closed"): void {
    const other = ending === "peer closed" ? this.#target : this.#peer;
    this.#ending ??= ending;
    this.#lastByteAt = this.#context.sweep.now;
    // When both have ended and all is flushed, a close says what an end of its own would, a system call and a turn of the loop sooner.
    if (this.#isHalfClosed && other?.writableLength === 0) other.destroy();
    else other?.end();
    this.#isHalfClosed = true;
  }

  /** A socket closes once both its directions have ended, or by an abort; the splice is over when both have. */
  #closed(ending: "peer aborted" | "target aborted"): void {
    // Closed without an end or an error: somebody else destroyed it, which the other side must not take for an end.
    if (this.#ending === undefined) this.abort(ending);
    if (--this.#open > 0) return;
    this.#endLease();
    this.#done.resolve(this.#ending ?? ending);
  }
}
