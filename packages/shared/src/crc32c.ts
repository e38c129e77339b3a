/** CRC-32C (Castagnoli) table, reflected polynomial 0x82f63b78; `zlib.crc32` is the other CRC-32. */
const TABLE = Uint32Array.from({ length: 256 }, (_, index) => {
  let value = index;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** Returns the CRC-32C of the bytes as an unsigned 32-bit number (RFC 3720 appendix B.4, proxy-protocol.txt 2.2.4). */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) crc = (TABLE[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return (crc ^ 0xffff_ffff) >>> 0;
}
