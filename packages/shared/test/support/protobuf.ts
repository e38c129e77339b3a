/** The fields of a message, by number, as the wire has them: integers of any kind, or octets (text, messages, packed numbers). */
export type Message = ReadonlyMap<number, readonly (bigint | Buffer)[]>;

/** Reads protobuf's wire format without a schema: what arrives is looked at with other eyes than those that wrote it. */
export function readMessage(bytes: Buffer): Message {
  const fields = new Map<number, (bigint | Buffer)[]>();
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const octet = bytes.readUInt8(at++);
      value |= BigInt(octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
  };
  const take = (length: number): Buffer => bytes.subarray(at, (at += length));
  while (at < bytes.length) {
    const tag = Number(varint());
    const kind = tag & 7;
    const value =
      kind === 0
        ? varint()
        : kind === 1
          ? take(8).readBigUInt64LE()
          : kind === 2
            ? take(Number(varint()))
            : undefined;
    if (value === undefined) throw new Error(`wire type ${kind}`);
    fields.set(tag >> 3, [...(fields.get(tag >> 3) ?? []), value]);
  }
  return fields;
}

/** The messages of a repeated field. */
export function messages(message: Message, field: number): Message[] {
  return (message.get(field) ?? []).map((value) => readMessage(value as Buffer));
}

export function textOf(message: Message, field: number): string {
  return String(message.get(field)?.[0] ?? "");
}

export function integerOf(message: Message, field: number): number | undefined {
  const value = message.get(field)?.[0];
  return typeof value === "bigint" ? Number(BigInt.asIntN(64, value)) : undefined;
}

export function doubleOf(message: Message, field: number): number | undefined {
  const value = message.get(field)?.[0];
  if (typeof value !== "bigint") return undefined;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.readDoubleLE();
}

/** A packed list of eight-octet numbers. */
export function packedOf(
  message: Message,
  field: number,
  read: (bytes: Buffer, at: number) => number,
): number[] {
  const bytes = message.get(field)?.[0];
  if (!Buffer.isBuffer(bytes)) return [];
  return Array.from({ length: bytes.length / 8 }, (_, index) => read(bytes, index * 8));
}
