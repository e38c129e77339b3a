/**
 * A stretch of octets with a read position that can't pass its end. Every length a peer claims is checked here, against the
 * stretch that encloses it, so the parsers above hold no bounds arithmetic of their own (TLS presentation language, RFC 8446
 * section 3). Shares the memory it was made over; never copies.
 */
export class OctetSpan {
  readonly #octets: Buffer;
  readonly #end: number;
  #at: number;

  /** Covers `octets` from `start` up to `end`, which the caller has checked. */
  constructor(octets: Buffer, start = 0, end = octets.length) {
    this.#octets = octets;
    this.#at = start;
    this.#end = end;
  }

  /** Octets not read yet. */
  get left(): number {
    return this.#end - this.#at;
  }

  /** Returns the next unsigned integer of one octet, or -1 when none is left. */
  uint8(): number {
    return this.left < 1 ? -1 : this.#octets.readUInt8(this.#at++);
  }

  /** Returns the next unsigned integer of two octets, or -1 when fewer are left. */
  uint16(): number {
    if (this.left < 2) return -1;
    this.#at += 2;
    return this.#octets.readUInt16BE(this.#at - 2);
  }

  /** Returns the next `length` octets as a span of their own, or undefined when fewer are left. */
  take(length: number): OctetSpan | undefined {
    return length < 0 || length > this.left ? undefined : this.takeUpTo(length);
  }

  /** Returns the next `length` octets, or all that are left when they are fewer. */
  takeUpTo(length: number): OctetSpan {
    const start = this.#at;
    this.#at = Math.min(this.#end, start + length);
    return new OctetSpan(this.#octets, start, this.#at);
  }

  /** Returns the content of the next vector whose length stands in one octet, or undefined when it doesn't fit in here. */
  vector8(): OctetSpan | undefined {
    return this.take(this.uint8());
  }

  /** Returns the content of the next vector whose length stands in two octets, or undefined when it doesn't fit in here. */
  vector16(): OctetSpan | undefined {
    return this.take(this.uint16());
  }

  /** Copies what is left to `target` at `offset`. */
  copyTo(target: Buffer, offset: number): void {
    this.#octets.copy(target, offset, this.#at, this.#end);
  }

  /** Returns what is left with one character per octet, so that no two different octet strings give the same text. */
  text(): string {
    return this.#octets.toString("latin1", this.#at, this.#end);
  }
}
