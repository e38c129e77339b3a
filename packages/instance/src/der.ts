/** The little of DER (ITU-T X.690) that certificates are made with here: Node reads them, but makes none. */

/** Returns one type-length-value; content here stays below 64 KiB. */
export function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}

/** UTCTime, which serves until 2049 (RFC 5280 section 4.1.2.5). */
export function derTime(milliseconds: number): Buffer {
  const digits = new Date(milliseconds).toISOString().replaceAll(/\.\d+|[-:T]/g, "");
  return der(0x17, Buffer.from(digits.slice(2)));
}
