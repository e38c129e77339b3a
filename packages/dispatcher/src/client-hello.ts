import { METHODS } from "node:http";
import { MIN_HELLO_LENGTH, readHelloMessage, type HelloFault, type HelloMessage } from "./hello-message.ts";
import { OctetSpan } from "./octet-span.ts";

/**
 * What is known of a peer's first flight. `length` counts the octets of the records that carry the hello; whatever was pushed
 * behind them (0-RTT data, RFC 8446 section 2.3) was not looked at. `problem` is for the operator and never quotes the peer.
 * `isPlainHttp` is true when the octets can only begin an HTTP/1 request or the HTTP/2 preface.
 */
export type HelloRead =
  | { readonly kind: "incomplete" }
  | (HelloMessage & { readonly length: number })
  | HelloRefusal;

type HelloRefusal = {
  readonly kind: "refused";
  readonly reason: HelloFault["reason"] | "not_tls" | "hello_too_large";
  readonly problem: string;
  readonly isPlainHttp?: boolean;
};

/** Octets of hello and record headers that are read at most, unless the option says otherwise. */
const DEFAULT_MAX_HELLO_BYTES = 16_384;

/**
 * More records than this are refused. Within the default byte bound no hello reaches it, however small its peer cuts it; it
 * bounds what a raised one costs.
 */
const MAX_RECORDS = 4096;
/** Empty handshake records are forbidden (RFC 8446 section 5.1), yet stacks tolerate a few (OpenSSL: 32 in a row), so we do. */
const MAX_EMPTY_RECORDS = 16;
/** RFC 8446 section 5.1: longest fragment of a plaintext record. */
const MAX_FRAGMENT_LENGTH = 16_384;
const RECORD_HEADER_LENGTH = 5;
const MESSAGE_HEADER_LENGTH = 4;

/** RFC 8446 section 5.1 and RFC 6520: content types run from change_cipher_spec (20) to heartbeat (24). */
const FIRST_CONTENT_TYPE = 20;
const LAST_CONTENT_TYPE = 24;
const HANDSHAKE = 22;
/** RFC 8446 section 4: handshake type. */
const CLIENT_HELLO = 1;
/** First octet of the version in every record since SSL 3.0; the second is ignored (RFC 8446 section 5.1). */
const VERSION_MAJOR = 3;

/** A hello in pieces is gathered in steps: a peer that only claims a long one gets no long buffer. */
const FIRST_BUFFER_LENGTH = 2048;

/**
 * How streams begin that can be told from TLS and are worth telling: HTTP with any method Node's own server takes, the HTTP/2
 * preface (RFC 9113 section 3.4), and a PROXY header, which is never guessed at but explains a refusal to the operator.
 */
const OPENINGS: readonly {
  readonly text: string;
  readonly isPlainHttp: boolean;
  readonly problem: string;
}[] = [
  ...[...METHODS, "PRI"].map((method) => ({ text: `${method} `, isPlainHttp: true, problem: "plain HTTP" })),
  ...["PROXY ", "\r\n\r\n\0\r\nQUIT\n"].map((text) => ({
    text,
    isPlainHttp: false,
    problem: "a PROXY header where none is expected",
  })),
];
/** So many octets tell what a stream that is not TLS is; no more are taken from a chunk. */
const MAX_OPENING_LENGTH = Math.max(...OPENINGS.map(({ text }) => text.length));

const UNKNOWN_OPENING = "the first octets are neither TLS nor HTTP";

const INCOMPLETE: HelloRead = { kind: "incomplete" };

/**
 * Reads the ClientHello at the start of a stream, in whatever pieces it comes: TCP segments and TLS records are joined, and
 * work goes on where the last piece ended, so the cost is linear in the octets. A hello that comes whole is read where it lies;
 * else its octets are copied once. Chunks are not kept: the caller keeps them for the target. Does no I/O, holds no timer,
 * never throws.
 *
 * @example
 * const reader = new ClientHelloReader();
 * socket.on("data", (chunk) => {
 *   const read = reader.push(chunk);
 *   if (read.kind === "hello") route(read.serverName);
 * });
 */
export class ClientHelloReader {
  readonly #maxBytes: number;
  #answer: HelloRead = INCOMPLETE;
  /** First octets, one character each, of a stream whose very first octet is no TLS content type. */
  #opening = "";
  /** Octets consumed since the start of the stream. */
  #length = 0;

  // Record layer (RFC 8446 section 5.1).
  #recordHeaderRead = 0;
  #contentType = 0;
  /** Octets of the current record's fragment not consumed yet. */
  #recordLeft = 0;
  #records = 0;
  #emptyRecords = 0;

  // Handshake layer (RFC 8446 section 4).
  #messageHeaderRead = 0;
  #messageLength = 0;
  /** The first `#gathered` octets of the message body, when it came in pieces. */
  #body: Buffer | undefined;
  #gathered = 0;

  /** `maxBytes` bounds the hello together with its record headers; default 16,384. */
  constructor(options: { readonly maxBytes?: number } = {}) {
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_HELLO_BYTES;
  }

  /** Takes the next octets of the stream. Once the answer is not `incomplete` it stands, whatever else is pushed. */
  push(chunk: Buffer): HelloRead {
    if (this.#answer.kind !== "incomplete" || chunk.length === 0) return this.#answer;
    const isTls = this.#length > 0 || (this.#opening === "" && isContentType(chunk.readUInt8(0)));
    this.#answer = (isTls ? this.#readRecords(chunk) : this.#readOpening(chunk)) ?? INCOMPLETE;
    return this.#answer;
  }

  #readOpening(chunk: Buffer): HelloRefusal | undefined {
    this.#opening += chunk.toString("latin1", 0, MAX_OPENING_LENGTH);
    return judgeOpening(this.#opening);
  }

  #readRecords(chunk: Buffer): HelloRead | undefined {
    const input = new OctetSpan(chunk);
    let answer: HelloRead | undefined;
    while (answer === undefined && input.left > 0) {
      if (this.#recordHeaderRead < RECORD_HEADER_LENGTH) answer = this.#readRecordHeader(input.uint8());
      else if (this.#messageHeaderRead < MESSAGE_HEADER_LENGTH)
        answer = this.#readMessageHeader(input.uint8());
      else answer = this.#readBody(input);
    }
    return answer;
  }

  #readRecordHeader(octet: number): HelloRefusal | undefined {
    this.#length += 1;
    this.#recordHeaderRead += 1;
    switch (this.#recordHeaderRead) {
      case 1:
        this.#contentType = octet;
        return undefined;
      case 2:
        return this.#judgeRecordType(octet);
      case 3:
        return undefined;
      case 4:
        this.#recordLeft = octet << 8;
        return undefined;
      default:
        this.#recordLeft |= octet;
        return this.#beginRecord();
    }
  }

  #judgeRecordType(major: number): HelloRefusal | undefined {
    if (major !== VERSION_MAJOR) {
      return this.#records === 0
        ? refused("not_tls", "the first octets are no TLS record header")
        : refused("malformed_hello", `record ${this.#records + 1} has no TLS version`);
    }
    if (this.#contentType === HANDSHAKE) return undefined;
    return refused("malformed_hello", `content type ${this.#contentType} comes before the hello is complete`);
  }

  #beginRecord(): HelloRefusal | undefined {
    this.#records += 1;
    if (this.#length + this.#recordLeft > this.#maxBytes) return this.#tooLarge();
    if (this.#records > MAX_RECORDS) return refused("hello_too_large", `more than ${MAX_RECORDS} records`);
    if (this.#recordLeft > MAX_FRAGMENT_LENGTH) {
      return refused("malformed_hello", `a record of ${this.#recordLeft} octets (RFC 8446 section 5.1)`);
    }
    if (this.#recordLeft === 0) {
      this.#recordHeaderRead = 0;
      this.#emptyRecords += 1;
      if (this.#emptyRecords <= MAX_EMPTY_RECORDS) return undefined;
      return refused("malformed_hello", `more than ${MAX_EMPTY_RECORDS} empty records`);
    }
    return this.#messageHeaderRead === MESSAGE_HEADER_LENGTH ? this.#judgeSurplus() : undefined;
  }

  #readMessageHeader(octet: number): HelloRefusal | undefined {
    this.#consume(1);
    this.#messageHeaderRead += 1;
    if (this.#messageHeaderRead === 1) {
      if (octet === CLIENT_HELLO) return undefined;
      return refused("malformed_hello", `handshake type ${octet} is not client_hello`);
    }
    this.#messageLength = (this.#messageLength << 8) | octet;
    return this.#messageHeaderRead === MESSAGE_HEADER_LENGTH ? this.#beginMessage() : undefined;
  }

  #beginMessage(): HelloRefusal | undefined {
    if (this.#messageLength < MIN_HELLO_LENGTH) {
      return refused("malformed_hello", `a hello of ${this.#messageLength} octets is too short to be one`);
    }
    const laterOctets = this.#messageLength - this.#recordLeft;
    const laterHeader = laterOctets > 0 ? RECORD_HEADER_LENGTH : 0;
    if (this.#length + this.#messageLength + laterHeader > this.#maxBytes) return this.#tooLarge();
    return this.#judgeSurplus();
  }

  /** A record that goes on behind the hello holds what no peer may send yet; contract section 3 refuses it. */
  #judgeSurplus(): HelloRefusal | undefined {
    const surplus = this.#recordLeft - (this.#messageLength - this.#gathered);
    if (surplus <= 0) return undefined;
    return refused("malformed_hello", `${surplus} octets follow the hello in its own record`);
  }

  #readBody(input: OctetSpan): HelloRead | undefined {
    const part = input.takeUpTo(this.#recordLeft);
    const size = part.left;
    this.#consume(size);
    if (size === this.#messageLength) return this.#finish(part);
    const body = this.#makeRoom(size);
    part.copyTo(body, this.#gathered);
    this.#gathered += size;
    return this.#gathered < this.#messageLength ? undefined : this.#finish(new OctetSpan(body));
  }

  #finish(body: OctetSpan): HelloRead {
    this.#body = undefined;
    const message = readHelloMessage(body);
    return message.kind === "refused" ? message : { ...message, length: this.#length };
  }

  /** Counts octets of the current record's fragment; behind its last one the next record header is due. */
  #consume(size: number): void {
    this.#length += size;
    this.#recordLeft -= size;
    if (this.#recordLeft === 0) this.#recordHeaderRead = 0;
  }

  /** Returns the body buffer with room for `size` more octets; it grows by doubling and never beyond the message. */
  #makeRoom(size: number): Buffer {
    const needed = this.#gathered + size;
    const old = this.#body;
    if (old !== undefined && old.length >= needed) return old;
    const grown = Math.max(needed, FIRST_BUFFER_LENGTH, 2 * (old?.length ?? 0));
    const body = Buffer.allocUnsafe(Math.min(grown, this.#messageLength));
    old?.copy(body, 0, 0, this.#gathered);
    this.#body = body;
    return body;
  }

  #tooLarge(): HelloRefusal {
    return refused("hello_too_large", `the hello is longer than ${this.#maxBytes} octets`);
  }
}

function isContentType(octet: number): boolean {
  return octet >= FIRST_CONTENT_TYPE && octet <= LAST_CONTENT_TYPE;
}

/** Tells what the first octets of a stream are that does not begin with a TLS record; undefined while they may be several things. */
function judgeOpening(opening: string): HelloRefusal | undefined {
  if (opening.charCodeAt(0) >= 0x80) return judgeSslv2(opening);
  const known = OPENINGS.find(({ text }) => opening.startsWith(text));
  if (known !== undefined) {
    return { ...refused("not_tls", known.problem), ...(known.isPlainHttp && { isPlainHttp: true }) };
  }
  if (OPENINGS.some(({ text }) => text.startsWith(opening))) return undefined;
  return refused("not_tls", UNKNOWN_OPENING);
}

/**
 * Recognises the SSLv2-style hello of old TLS stacks (RFC 5246 appendix E.2): two octets of length with the top bit set, type 1,
 * a version. It is a malformed hello rather than "not TLS": its sender speaks TLS and understands an alert, the only answer
 * RFC 6176 section 3 leaves; and without extensions there is nothing in it to route on.
 */
function judgeSslv2(opening: string): HelloRefusal | undefined {
  const type = opening.length > 2 ? opening.charCodeAt(2) : CLIENT_HELLO;
  const major = opening.length > 3 ? opening.charCodeAt(3) : undefined;
  if (type !== CLIENT_HELLO || (major !== undefined && major !== 0 && major !== VERSION_MAJOR)) {
    return refused("not_tls", UNKNOWN_OPENING);
  }
  if (major === undefined) return undefined;
  return refused("malformed_hello", "an SSLv2-style hello carries no server name");
}

function refused(reason: HelloRefusal["reason"], problem: string): HelloRefusal {
  return { kind: "refused", reason, problem };
}
