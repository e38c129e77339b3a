import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import {
  Command,
  IPv4ProxyAddress,
  IPv6ProxyAddress,
  TransportProtocol,
  V1BinaryProxyProtocol,
  V2ProxyProtocol,
} from "proxy-protocol-js";
import { canonicalIp, type AddressPair } from "../src/address.ts";
import { crc32c } from "../src/crc32c.ts";
import { readProxyHeader, writeProxyHeader, type ProxyHeader } from "../src/proxy-header.ts";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(/\s/g, ""), "hex");
const line = (text: string): Buffer => Buffer.from(text, "latin1");
const v4: AddressPair = {
  source: { ip: "192.0.2.7", port: 40_000 },
  destination: { ip: "198.51.100.1", port: 443 },
};
const v6: AddressPair = {
  source: { ip: "2001:db8::7", port: 40_000 },
  destination: { ip: "2001:db8::1", port: 443 },
};
const V4_BLOCK = "c0000207 c6336401 9c40 01bb";

function v2(familyByte: string, block: string, tlvs = ""): Buffer {
  const rest = hex(block + tlvs);
  const length = rest.length.toString(16).padStart(4, "0");
  return Buffer.concat([hex(`${SIGNATURE}21${familyByte}${length}`), rest]);
}

function tlv(type: number, value: Buffer): string {
  const length = value.length.toString(16).padStart(4, "0");
  return type.toString(16).padStart(2, "0") + length + value.toString("hex");
}

function header(bytes: Buffer): ProxyHeader {
  const read = readProxyHeader(bytes);
  if (read.kind !== "header") throw new Error(`read as ${JSON.stringify(read)}`);
  return read.header;
}

const kinds = (bytes: Buffer): string => readProxyHeader(bytes).kind;

describe("version 1 (proxy-protocol.txt 2.1)", () => {
  test("reads TCP4 and TCP6, and leaves what follows alone", () => {
    const first = line("PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n");
    expect(readProxyHeader(Buffer.concat([first, hex("1603010200")]))).toEqual({
      kind: "header",
      header: { addresses: v4, hops: 0 },
      length: first.length,
    });
    expect(header(line("PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n")).addresses).toEqual(v6);
  });

  test("UNKNOWN keeps the socket's own addresses, whatever stands behind it", () => {
    for (const text of ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"]) {
      expect(header(line(text))).toEqual({ addresses: undefined, hops: 0 });
    }
  });

  test("the longest legal line is read, one octet more is refused before its end is seen", () => {
    const longest = line(`PROXY UNKNOWN ${"x".repeat(107 - 16)}\r\n`);
    expect(longest.length).toBe(107);
    expect(kinds(longest)).toBe("header");
    expect(kinds(longest.subarray(0, 106))).toBe("incomplete");
    expect(kinds(line(`PROXY UNKNOWN ${"x".repeat(107 - 14)}`))).toBe("malformed");
    expect(kinds(line(`PROXY UNKNOWN ${"x".repeat(107 - 15)}\r\n`))).toBe("malformed");
  });

  test.each([
    ["an address that is none", "TCP4 999.1.1.1 192.0.2.1 1 2"],
    ["an address with leading zeros", "TCP4 192.0.02.1 192.0.2.1 1 2"],
    ["IPv6 under TCP4", "TCP4 ::1 ::1 1 2"],
    ["IPv4 under TCP6", "TCP6 192.0.2.1 192.0.2.1 1 2"],
    ["a zone", "TCP6 fe80::1%eth0 fe80::2 1 2"],
    ["a port over 65535", "TCP4 192.0.2.1 192.0.2.2 70000 2"],
    ["a port of eleven digits", "TCP4 192.0.2.1 192.0.2.2 1 99999999999"],
    ["a port with a leading zero", "TCP4 192.0.2.1 192.0.2.2 01 2"],
    ["a signed port", "TCP4 192.0.2.1 192.0.2.2 +1 2"],
    ["two spaces", "TCP4  192.0.2.1 192.0.2.2 1 2"],
    ["a trailing space", "TCP4 192.0.2.1 192.0.2.2 1 2 "],
    ["a missing port", "TCP4 192.0.2.1 192.0.2.2 1"],
    ["markup for an address", "TCP4 <script> 192.0.2.2 1 2"],
    ["another protocol", "UDP4 192.0.2.1 192.0.2.2 1 2"],
    ["a lower-case family", "tcp4 192.0.2.1 192.0.2.2 1 2"],
    ["no family", ""],
  ])("refuses %s", (_what, text) => {
    expect(kinds(line(`PROXY ${text}\r\n`))).toBe("malformed");
  });

  test("a bare CR ends nothing, and a line feed alone neither", () => {
    expect(kinds(line("PROXY UNKNOWN\rX"))).toBe("malformed");
    expect(kinds(line("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\nGET / HTTP/1.1\r\n"))).toBe("malformed");
  });
});

describe("version 2 (proxy-protocol.txt 2.2)", () => {
  test("reads INET and INET6 over a stream", () => {
    expect(header(v2("11", V4_BLOCK)).addresses).toEqual(v4);
    const block = "20010db8000000000000000000000007 20010db8000000000000000000000001 9c40 01bb";
    expect(header(v2("21", block)).addresses).toEqual(v6);
  });

  test("TLV bytes belong to the header, not to the connection", () => {
    const bytes = v2("11", V4_BLOCK, tlv(0x02, line("a.example")) + tlv(0x20, hex("0100000000")));
    expect(readProxyHeader(Buffer.concat([bytes, hex("160301")]))).toEqual({
      kind: "header",
      header: { addresses: v4, authority: "a.example", hops: 0 },
      length: bytes.length,
    });
  });

  test("reads AUTHORITY, UNIQUE_ID and our hop count; skips NOOP and unknown types", () => {
    const tlvs = [
      tlv(0x04, Buffer.alloc(9)),
      tlv(0x04, Buffer.alloc(0)),
      tlv(0xea, hex("0102")),
      tlv(0x02, line("a.example")),
      tlv(0x05, line("c-01")),
      tlv(0xe4, hex("03")),
    ].join("");
    expect(header(v2("11", V4_BLOCK, tlvs))).toEqual({
      addresses: v4,
      authority: "a.example",
      uniqueId: "c-01",
      hops: 3,
    });
  });

  test("the hop type in another sender's shape is none of ours", () => {
    expect(header(v2("11", V4_BLOCK, tlv(0xe4, hex("0102")))).hops).toBe(0);
  });

  test("LOCAL keeps the socket's own addresses and ignores the family", () => {
    for (const family of ["00", "11", "ff"]) {
      const bytes = v2(family, V4_BLOCK);
      bytes.writeUInt8(0x20, 12);
      expect(readProxyHeader(bytes)).toEqual({
        kind: "header",
        header: { addresses: undefined, hops: 0 },
        length: bytes.length,
      });
    }
  });

  test("UNSPEC, unix and datagram senders keep the socket's own addresses; their TLVs count", () => {
    const id = tlv(0x05, line("c-01"));
    for (const bytes of [v2("00", "", id), v2("31", "2f".repeat(216), id), v2("12", V4_BLOCK, id)]) {
      expect(header(bytes)).toEqual({ addresses: undefined, uniqueId: "c-01", hops: 0 });
    }
  });

  test("a checksum is held to when it is there", () => {
    const summed = v2("11", V4_BLOCK, tlv(0x02, line("a.example")) + tlv(0x03, Buffer.alloc(4)));
    summed.writeUInt32BE(crc32c(summed), summed.length - 4);
    expect(header(summed).authority).toBe("a.example");
    for (const at of [16, 24, summed.length - 5, summed.length - 1]) {
      const flipped = Buffer.from(summed);
      flipped.writeUInt8(flipped.readUInt8(at) ^ 1, at);
      expect(kinds(flipped)).toBe("malformed");
    }
    expect(kinds(v2("11", V4_BLOCK, tlv(0x03, hex("00"))))).toBe("malformed");
  });

  test("CRC-32C is the one of RFC 3720 B.4", () => {
    expect(crc32c(Buffer.alloc(32))).toBe(0x8a91_36aa);
    expect(crc32c(Buffer.from("123456789"))).toBe(0xe306_9283);
  });

  test.each([
    ["another version", hex(`${SIGNATURE}11110000`)],
    ["another command", hex(`${SIGNATURE}22110000`)],
    ["an unknown family", v2("41", V4_BLOCK)],
    ["an unknown transport", v2("13", V4_BLOCK)],
    ["a length shorter than the addresses", v2("21", V4_BLOCK)],
    ["no addresses at all", v2("11", "")],
    ["a TLV cut in its head", v2("11", V4_BLOCK, "0200")],
    ["a TLV longer than the header", v2("11", V4_BLOCK, "02000561")],
    ["a UNIQUE_ID of 129 octets", v2("11", V4_BLOCK, tlv(0x05, Buffer.alloc(129)))],
    ["two AUTHORITY TLVs", v2("11", V4_BLOCK, tlv(0x02, line("a")) + tlv(0x02, line("b")))],
  ])("refuses %s", (_what, bytes) => {
    expect(kinds(bytes)).toBe("malformed");
  });

  test("a length over 4096 is refused as soon as it is seen, 4096 is read", () => {
    expect(kinds(hex(`${SIGNATURE}21111001`))).toBe("malformed");
    expect(kinds(hex(`${SIGNATURE}21111000`))).toBe("incomplete");
    const filler = tlv(0x04, Buffer.alloc(4096 - 12 - 3));
    expect(kinds(v2("11", V4_BLOCK, filler))).toBe("header");
  });

  test("a command is refused before the length has come", () => {
    expect(kinds(hex(`${SIGNATURE}31`))).toBe("malformed");
  });
});

test("an IPv4-mapped address is folded in either version and any spelling", () => {
  for (const mapped of ["::ffff:192.0.2.7", "::FFFF:c000:207", "0:0:0:0:0:ffff:c000:0207"]) {
    const read = header(line(`PROXY TCP6 ${mapped} 2001:DB8:0::1 40000 443\r\n`));
    expect(read.addresses).toEqual({ source: v4.source, destination: v6.destination });
  }
  const block = "00000000000000000000ffffc0000207 20010db8000000000000000000000001 9c40 01bb";
  expect(header(v2("21", block)).addresses?.source.ip).toBe("192.0.2.7");
});

test("bytes that begin neither version are malformed from the first one on", () => {
  for (const bytes of ["1603", "00", "47455420", "50524f5859", "0d0a0d0a00"]) {
    const whole = hex(bytes);
    const kind = whole[0] === 0x50 || whole[0] === 0x0d ? "incomplete" : "malformed";
    expect(kinds(whole)).toBe(kind);
  }
  expect(kinds(line("POST"))).toBe("malformed");
  expect(kinds(line("\r\n\r\nQ"))).toBe("malformed");
  expect(kinds(Buffer.alloc(0))).toBe("incomplete");
});

describe("writing", () => {
  test("the wire form of both versions", () => {
    expect(writeProxyHeader("v1", { addresses: v4, hops: 2, authority: "a.example" }).toString()).toBe(
      "PROXY TCP4 192.0.2.7 198.51.100.1 40000 443\r\n",
    );
    expect(writeProxyHeader("v1", { addresses: undefined, hops: 0 }).toString()).toBe("PROXY UNKNOWN\r\n");
    const tlvs = tlv(0x02, line("a.example")) + tlv(0x05, line("c-01")) + tlv(0xe4, hex("01"));
    expect(
      writeProxyHeader("v2", { addresses: v4, authority: "a.example", uniqueId: "c-01", hops: 1 }),
    ).toEqual(v2("11", V4_BLOCK, tlvs));
  });

  test("a relayed connection without addresses keeps its TLVs: PROXY UNSPEC, not LOCAL", () => {
    const bytes = writeProxyHeader("v2", { addresses: undefined, hops: 4 });
    expect(bytes).toEqual(v2("00", "", tlv(0xe4, hex("04"))));
  });

  test("what can't be written is refused, not wrapped or injected", () => {
    const write = (ip: string, port: number) => () =>
      writeProxyHeader("v1", { addresses: { source: { ip, port }, destination: v4.destination }, hops: 0 });
    expect(write("192.0.2.7", 70_000)).toThrow(RangeError);
    expect(write("192.0.2.7", -1)).toThrow(RangeError);
    expect(write("192.0.2.7", 1.5)).toThrow(RangeError);
    expect(write("1.2.3.4 5.6.7.8 1 2\r\nX", 1)).toThrow(RangeError);
    expect(write("fe80::1%eth0", 1)).toThrow(RangeError);
    const long = { addresses: v4, hops: 0, uniqueId: "x".repeat(129) };
    expect(() => writeProxyHeader("v2", long)).toThrow(RangeError);
    expect(() => writeProxyHeader("v2", { addresses: v4, hops: 0, authority: "x".repeat(4090) })).toThrow(
      RangeError,
    );
  });
});

const port = fc.integer({ min: 0, max: 65_535 });
const ip = fc.oneof(fc.ipV4(), fc.ipV6());
const addressPair = fc
  .record({ sourceIp: ip, sourcePort: port, destinationIp: ip, destinationPort: port })
  .map(({ sourceIp, sourcePort, destinationIp, destinationPort }) => ({
    source: { ip: sourceIp, port: sourcePort },
    destination: { ip: destinationIp, port: destinationPort },
  }));
const anyHeader: fc.Arbitrary<ProxyHeader> = fc.record(
  {
    addresses: fc.option(addressPair, { nil: undefined }),
    authority: fc.domain(),
    uniqueId: fc.uint8Array({ maxLength: 128 }).map((octets) => Buffer.from(octets).toString("latin1")),
    hops: fc.integer({ min: 0, max: 255 }),
  },
  { requiredKeys: ["addresses", "hops"] },
);

/** The one text form of an address: what the WHATWG URL parser prints for it, mapped ones folded. */
function canonical(text: string): string {
  if (!text.includes(":")) return text;
  const printed = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const octets = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(printed);
  if (!octets) return printed;
  const [high = 0, low = 0] = octets.slice(1).map((group) => Number.parseInt(group, 16));
  return `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
}

function sameAddress(ours: string, theirs: string): boolean {
  // URL prints `::1.2.3.4` in hexadecimal, inet_ntop in decimal: both through the same parser.
  return canonical(ours) === canonical(theirs);
}

function expectSamePair(read: AddressPair | undefined, given: AddressPair | undefined): void {
  if (!read || !given) {
    expect(read).toBe(given);
    return;
  }
  for (const end of ["source", "destination"] as const) {
    expect(read[end].port).toBe(given[end].port);
    expect(sameAddress(read[end].ip, given[end].ip)).toBe(true);
    expect(canonicalIp(read[end].ip)).toBe(read[end].ip);
  }
}

describe("properties", () => {
  test("what is written is read back, and every proper prefix is incomplete", () => {
    fc.assert(
      fc.property(
        anyHeader,
        fc.constantFrom("v1" as const, "v2" as const),
        fc.uint8Array(),
        (given, version, rest) => {
          const bytes = writeProxyHeader(version, given);
          const read = readProxyHeader(Buffer.concat([bytes, rest]));
          if (read.kind !== "header") throw new Error(JSON.stringify(read));
          expect(read.length).toBe(bytes.length);
          const { addresses, ...tlvs } = given;
          const { addresses: addressesRead, ...tlvsRead } = read.header;
          expect(tlvsRead).toEqual(version === "v2" ? tlvs : { hops: 0 });
          expectSamePair(addressesRead, addresses);
          for (let length = 0; length < bytes.length; length++) {
            expect(kinds(bytes.subarray(0, length))).toBe("incomplete");
          }
        },
      ),
      { numRuns: 300 },
    );
  });

  test("random bytes never throw, and a verdict never changes with more bytes", () => {
    const start = fc.constantFrom(
      SIGNATURE,
      `${SIGNATURE}21`,
      `${SIGNATURE}2111`,
      line("PROXY ").toString("hex"),
      "",
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 300 }), (first, rest) => {
        const bytes = Buffer.concat([hex(first), rest]);
        const whole = readProxyHeader(bytes);
        for (let length = 0; length < bytes.length; length++) {
          const part = readProxyHeader(bytes.subarray(0, length));
          if (part.kind !== "incomplete") expect(whole).toEqual(part);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("one flipped octet gives an answer, never an exception", () => {
    const bytes = writeProxyHeader("v2", {
      addresses: v6,
      authority: "a.example",
      uniqueId: "c-01",
      hops: 9,
    });
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const damaged = Buffer.from(bytes);
        damaged.writeUInt8(damaged.readUInt8(at) ^ flip, at);
        expect(["incomplete", "header", "malformed"]).toContain(kinds(damaged));
      }),
    );
  });

  test("the library reads the same addresses out of what we write", () => {
    fc.assert(
      fc.property(addressPair, (addresses) => {
        const bytes = writeProxyHeader("v2", { addresses, hops: 0 });
        const theirs = V2ProxyProtocol.parse(bytes);
        expect([theirs.command, theirs.transportProtocol]).toEqual([Command.PROXY, TransportProtocol.STREAM]);
        const { proxyAddress } = theirs;
        if (!(proxyAddress instanceof IPv4ProxyAddress || proxyAddress instanceof IPv6ProxyAddress)) {
          throw new Error("neither IPv4 nor IPv6");
        }
        expect(proxyAddress.sourcePort).toBe(addresses.source.port);
        expect(proxyAddress.destinationPort).toBe(addresses.destination.port);
        const ours = header(bytes).addresses;
        const octets = [...proxyAddress.sourceAddress.address];
        const text =
          octets.length === 4
            ? octets.join(".")
            : Buffer.from(octets).toString("hex").match(/.{4}/g)!.join(":");
        expect(sameAddress(ours?.source.ip ?? "", text)).toBe(true);
      }),
    );
  });

  test("the library reads the same line as we do in version 1", () => {
    fc.assert(
      fc.property(addressPair, (addresses) => {
        const bytes = writeProxyHeader("v1", { addresses, hops: 0 });
        const theirs = V1BinaryProxyProtocol.parse(bytes);
        const ours = header(bytes).addresses;
        expect(theirs.source.port).toBe(ours?.source.port);
        expect(sameAddress(theirs.source.ipAddress, ours?.source.ip ?? "")).toBe(true);
        expect(sameAddress(theirs.destination.ipAddress, ours?.destination.ip ?? "")).toBe(true);
      }),
    );
  });
});
