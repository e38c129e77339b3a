/** One value of a DER structure (ITU-T X.690). */
export interface DerValue {
  readonly tag: number;
  /** Without tag and length. */
  readonly content: Buffer;
}

/** Longest length that is read, octets: 16 MiB of content. */
const MAX_LENGTH_OCTETS = 3;

/** Returns the values that a constructed one is made of; none when there is none, or its content is something else. Never throws. */
export function derParts(value: DerValue | undefined): readonly DerValue[] {
  const octets = value?.content ?? Buffer.alloc(0);
  const parts: DerValue[] = [];
  for (let at = 0; at < octets.length;) {
    const next = readValue(octets, at);
    if (next === undefined) return [];
    parts.push(next.value);
    at = next.end;
  }
  return parts;
}

/** Reads the value at an offset; undefined when it goes over the end. Tags have one octet here. */
function readValue(octets: Buffer, at: number): { value: DerValue; end: number } | undefined {
  const [tag = 0, first = 0] = octets.subarray(at, at + 2);
  const lengthOctets = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + lengthOctets;
  if (first === 0x80 || lengthOctets > MAX_LENGTH_OCTETS || start > octets.length) return undefined;
  const end = start + (lengthOctets === 0 ? first : octets.readUIntBE(at + 2, lengthOctets));
  if (end > octets.length) return undefined;
  return { value: { tag, content: octets.subarray(start, end) }, end };
}
