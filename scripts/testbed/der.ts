/** The few DER types (ITU-T X.690) a certificate is made of; every function returns a complete type-length-value. */

function tagged(tag: number, content: Buffer): Buffer {
  if (content.length < 0x80) return Buffer.concat([Buffer.from([tag, content.length]), content]);
  const hex = content.length.toString(16);
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, "hex");
  return Buffer.concat([Buffer.from([tag, 0x80 | length.length]), length, content]);
}

export const sequence = (...parts: Buffer[]): Buffer => tagged(0x30, Buffer.concat(parts));
export const set = (...parts: Buffer[]): Buffer => tagged(0x31, Buffer.concat(parts));
export const octetString = (content: Buffer): Buffer => tagged(0x04, content);
export const utf8String = (value: string): Buffer => tagged(0x0c, Buffer.from(value));
export const boolean = (value: boolean): Buffer => tagged(0x01, Buffer.from([value ? 0xff : 0]));

/** `[number]` around or instead of a type. */
export const contextTag = (number: number, content: Buffer, isConstructed: boolean): Buffer =>
  tagged((isConstructed ? 0xa0 : 0x80) | number, content);

/** A bit string with its last `unusedBits` bits not part of it. */
export const bitString = (content: Buffer, unusedBits = 0): Buffer =>
  tagged(0x03, Buffer.concat([Buffer.from([unusedBits]), content]));

/** A non-negative integer, most significant byte first. */
export function integer(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const digits = bytes.subarray(start);
  const isNegative = ((digits[0] ?? 0) & 0x80) !== 0; // as two's complement, which is how it would be read
  return tagged(0x02, isNegative ? Buffer.concat([Buffer.from([0]), digits]) : digits);
}

/** An object identifier in dotted form, e.g. `2.5.29.17`. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  const bytes = [first * 40 + second, ...rest].flatMap((arc) => {
    const digits = [arc & 0x7f];
    for (let value = arc >>> 7; value > 0; value >>>= 7) digits.unshift(0x80 | (value & 0x7f));
    return digits;
  });
  return tagged(0x06, Buffer.from(bytes));
}

/** UTCTime until 2049 and GeneralizedTime after, as RFC 5280 section 4.1.2.5 wants it; whole seconds. */
export function time(date: Date): Buffer {
  const digits = date
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replace(/[-:T]/g, "");
  return date.getUTCFullYear() < 2050
    ? tagged(0x17, Buffer.from(digits.slice(2)))
    : tagged(0x18, Buffer.from(digits));
}
