import type { Socket } from "node:net";
import type { PeerListener } from "./peer-events.ts";

/** The peer went away before its connection was spliced. */
export class PeerGone extends Error {
  readonly how: "closed" | "aborted";

  constructor(how: "closed" | "aborted") {
    super(`peer ${how}`);
    this.name = "PeerGone";
    this.how = how;
  }
}

/** Octets beyond the hello bound that may wait while the target is dialled (0-RTT data); then the peer is no longer read. */
const EARLY_DATA_BYTES = 16 * 1024;

/**
 * What a peer sends before it is spliced: read as it comes, kept for the replay, bounded. Goes on reading while the target is
 * dialled, since a socket that isn't read doesn't tell that its peer has gone.
 */
export class Preamble implements PeerListener {
  /** Octets received and not discarded. */
  received = 0;
  readonly #peer: Socket;
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #unread = 0;
  #failure: Error | undefined;
  #onFailure: ((reason: Error) => void) | undefined;
  #hasEnded = false;
  #waiting: PromiseWithResolvers<void> | undefined;

  constructor(peer: Socket, maxHelloBytes: number) {
    this.#peer = peer;
    this.#maxBytes = maxHelloBytes + EARLY_DATA_BYTES;
  }

  /** @throws {PeerGone} when the peer has sent its FIN: so early in a TLS connection it won't wait for an answer. */
  throwIfEnded(): void {
    if (this.#hasEnded) throw new PeerGone("closed");
  }

  /**
   * Returns the next bytes that this method has not returned yet.
   * @throws {PeerGone}, or what {@link fail} was given
   */
  async next(): Promise<Buffer> {
    for (;;) {
      if (this.#failure) throw this.#failure;
      const chunk = this.#chunks[this.#unread];
      if (chunk) {
        this.#unread++;
        return chunk;
      }
      this.throwIfEnded();
      this.#waiting = Promise.withResolvers();
      await this.#waiting.promise;
    }
  }

  /** Forgets the first `length` octets, which are not to be replayed, and hands out what follows them again. */
  discard(length: number): void {
    const rest = Buffer.concat(this.#chunks).subarray(length);
    this.received = rest.length;
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#unread = 0;
  }

  /** Makes the step that waits throw this. The first failure counts. */
  fail(reason: Error): void {
    if (this.#failure) return;
    this.#failure = reason;
    this.#wake();
    this.#onFailure?.(reason);
  }

  /**
   * Has a step that waits for something else than bytes told of a failure.
   * @throws the failure when there was one already
   */
  watch(onFailure: (reason: Error) => void): void {
    if (this.#failure) throw this.#failure;
    this.#onFailure = onFailure;
  }

  /** Returns everything that has not been discarded. The caller takes over the socket's events in the same turn. */
  release(): readonly Buffer[] {
    this.#onFailure = undefined;
    const chunks = this.#chunks;
    // The connection lives on, for hours maybe; its hello need not.
    this.#chunks = [];
    return chunks;
  }

  onPeerData(chunk: Buffer): void {
    this.received += chunk.length;
    this.#chunks.push(chunk);
    if (this.received >= this.#maxBytes) this.#peer.pause();
    this.#wake();
  }

  onPeerEnd(): void {
    this.#hasEnded = true;
    this.#wake();
  }

  onPeerDrain(): void {
    // Nothing was written.
  }

  onPeerError(): void {
    this.fail(new PeerGone("aborted"));
  }

  onPeerClose(): void {
    this.fail(new PeerGone("aborted"));
  }

  #wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }
}
