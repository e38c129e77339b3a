import { expectSame, expectThat, latin1, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { readProxyHeader, writeProxyHeader, type ProxyHeader } from "../../src/proxy-header.ts";

const LONGEST_V1 = 107;
const LONGEST_V2 = 16 + 4096;
/** Beginnings that are looked at, at most: all of a short header, some of a long one. */
const BEGINNINGS = 64;

function check(bytes: Buffer): void {
  const whole = readProxyHeader(bytes);
  const longest = bytes[0] === 0x50 ? LONGEST_V1 : LONGEST_V2;
  if (whole.kind === "incomplete") expectThat("no endless waiting", bytes.length < longest);
  else expectSame("with more behind it", readProxyHeader(Buffer.concat([bytes, latin1("\r\n\x16")])), whole);
  expectSameWhenItComesInPieces(bytes);
  if (whole.kind === "malformed")
    expectThat("a problem without foreign text", /^[\u0020-\u007e]{1,100}$/.test(whole.problem));
  if (whole.kind !== "header") return;
  expectThat("length within what came", whole.length <= Math.min(bytes.length, longest));
  expectSame("its own octets are enough", readProxyHeader(bytes.subarray(0, whole.length)), whole);
  expectRoundTrip(whole.header);
}

/** A beginning is either not yet enough or already what the whole is. */
function expectSameWhenItComesInPieces(bytes: Buffer): void {
  const whole = readProxyHeader(bytes);
  const step = Math.max(1, Math.floor(bytes.length / BEGINNINGS));
  for (let end = 0; end < bytes.length; end += step) {
    const early = readProxyHeader(bytes.subarray(0, end));
    if (early.kind === "incomplete") {
      if (whole.kind === "header") expectThat("whole only when whole", end < whole.length);
    } else if (early.kind === "malformed")
      expectSame("malformed early, malformed for good", whole.kind, "malformed");
    else expectSame("told early, told for good", early, whole);
  }
}

/** What was read is written and read as the same. */
function expectRoundTrip(header: ProxyHeader): void {
  const { addresses } = header;
  const inV1 = readProxyHeader(writeProxyHeader("v1", header));
  expectSame("addresses through v1", inV1.kind === "header" && inV1.header.addresses, addresses);
  // Octets that are no UTF-8 became U+FFFD, three octets each, and may not fit any more.
  if (Buffer.byteLength(header.authority ?? "") > LONGEST_V2 / 2) return;
  const inV2 = readProxyHeader(writeProxyHeader("v2", header));
  expectSame("all of it through v2", inV2.kind === "header" && inV2.header, header);
}

const V4 = {
  source: { ip: "192.0.2.7", port: 40_000 },
  destination: { ip: "198.51.100.1", port: 443 },
};
const V6 = { source: { ip: "2001:db8::7", port: 1 }, destination: { ip: "::", port: 65_535 } };
const CHECKED = Buffer.from(
  "0d0a0d0a000d0a515549540a2111001 3c0000207c63364019c4001bb03000400000000".replaceAll(" ", ""),
  "hex",
);

export const target: FuzzTarget = {
  name: "proxy-header",
  guides: ["shared/src/proxy-header.ts", "shared/src/address.ts", "shared/src/crc32c.ts"],
  seeds: [
    writeProxyHeader("v1", { addresses: V4, hops: 0 }),
    writeProxyHeader("v1", { addresses: V6, hops: 0 }),
    latin1("PROXY TCP4 192.0.2.7 198.51.100.1 65536 443\r\n"),
    latin1("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"),
    writeProxyHeader("v2", { addresses: V4, authority: "a.example", uniqueId: "c-1", hops: 3 }),
    writeProxyHeader("v2", { addresses: V6, hops: 0 }),
    writeProxyHeader("v2", { addresses: undefined, hops: 1 }),
    Buffer.from("0d0a0d0a000d0a515549540a20000000", "hex"),
    CHECKED,
  ],
  dictionary: [
    "PROXY ",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    "\r\n",
    "\r\n\r\n\0\r\nQUIT\n",
    "::ffff:192.0.2.1",
    "::",
    "fe80::1%eth0",
    "65536",
    "\x21\x11\x00\x0c",
    "\x21\x21\x00\x24",
    "\x21\x31\x00\xd8",
    "\x02\x00\x01a",
    "\x03\x00\x04",
    "\x05\x00\x81",
    "\xe4\x00\x01\xff",
  ],
  maxBytes: 6000,
  check,
};
