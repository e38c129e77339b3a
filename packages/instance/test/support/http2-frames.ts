/** Types of frames (RFC 9113 section 6). */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  rstStream: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const END_STREAM = 0x1;
export const END_HEADERS = 0x4;

/** What a client says first (section 3.4), with settings of its own. */
export function preface(settings: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(FRAME.settings, 0, { payload: settings }),
  ]);
}

/** A frame (section 4.1). */
export function frame(
  type: number,
  flags: number,
  { stream = 0, payload = Buffer.alloc(0) }: { stream?: number; payload?: Buffer } = {},
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

export function uint32(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value >>> 0);
  return octets;
}

/** A setting of the SETTINGS frame. */
export function setting(id: number, value: number): Buffer {
  return Buffer.concat([Buffer.from([0, id]), uint32(value)]);
}

/** A header block of literals that index nothing (RFC 7541 section 6.2.2), spelt as given: no library repairs it on the way. */
export function block(fields: readonly (readonly [name: string, value: string])[]): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), text(name), text(value)]));
}

/** A string literal without Huffman coding (RFC 7541 section 5.2). */
export function text(value: string): Buffer {
  const octets = Buffer.from(value, "latin1");
  return Buffer.concat([integer(octets.length, 7), octets]);
}

/** An integer with a prefix of so many bits (RFC 7541 section 5.1). */
export function integer(value: number, prefixBits: number): Buffer {
  const limit = 2 ** prefixBits - 1;
  if (value < limit) return Buffer.from([value]);
  const octets = [limit];
  let rest = value - limit;
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128);
  return Buffer.from([...octets, rest]);
}

export interface ReadFrame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Whole frames at the start of what a server sent. */
export function readFrames(octets: Buffer): ReadFrame[] {
  const frames: ReadFrame[] = [];
  for (let at = 0; at + 9 <= octets.length;) {
    const end = at + 9 + octets.readUIntBE(at, 3);
    if (end > octets.length) break;
    frames.push({
      type: octets.readUInt8(at + 3),
      flags: octets.readUInt8(at + 4),
      stream: octets.readUInt32BE(at + 5) & 0x7fffffff,
      payload: octets.subarray(at + 9, end),
    });
    at = end;
  }
  return frames;
}
