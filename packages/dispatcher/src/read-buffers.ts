/** Octets of the buffer that every target is read into; a read that fills it marks a bulk transfer. */
const SHARED_BYTES = 16 * 1024;
/** Octets of a buffer lent to one bulk transfer: a quarter MiB per read halves the system calls of a 64 KiB one. */
const LEASED_BYTES = 256 * 1024;
/** Leases at a time: stalled bulk transfers can pin 16 MiB. A transfer that gets none is copied, not stopped. */
const MAX_LEASES = 64;

/**
 * Memory that targets are read into. Idle connections cost none: all of them have the kernel write into one shared buffer, whose
 * content is copied out before the callback returns. The copy can't wait until a write turns out to be pending: by then libuv
 * holds a pointer into the buffer, and the next connection's read is already aimed at it. A transfer that fills
 * the shared buffer is lent one of its own, which is written from without a copy and not read into again before it is flushed.
 */
export class ReadBuffers {
  readonly shared: Buffer = Buffer.allocUnsafeSlow(SHARED_BYTES);
  readonly #free: Buffer[] = [];
  readonly #maxLeases: number;
  #leases = 0;

  constructor(maxLeases: number = MAX_LEASES) {
    this.#maxLeases = maxLeases;
  }

  /** Returns a buffer for one bulk transfer, or undefined when all are lent. Give it back with {@link giveBack}. */
  lease(): Buffer | undefined {
    if (this.#leases >= this.#maxLeases) return undefined;
    this.#leases++;
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(LEASED_BYTES);
  }

  /** Takes a lease back. The caller must hold no pending write from it. */
  giveBack(buffer: Buffer): void {
    this.#leases--;
    this.#free.push(buffer);
  }

  get leases(): number {
    return this.#leases;
  }
}
