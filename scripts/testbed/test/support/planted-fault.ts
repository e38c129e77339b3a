/** Reads a small format and fails three steps deep, where random octets never come: what a search has to find by itself. */
export function plantedFault(input: Buffer): string {
  if (input[0] !== 0x47) return "no magic";
  if (input.length < 4) return "too short";
  const length = input[1] ?? 0;
  if (length !== input.length - 2) return "wrong length";
  if (input[2] === 0xff) {
    if (input[3] === 0x80) throw new RangeError("planted: the fault");
    return "almost";
  }
  return "read";
}
