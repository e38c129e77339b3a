import { isIPv4, isIPv6, SocketAddress } from "node:net";
import {
  Command,
  INETProtocol,
  IPv4Address,
  IPv4ProxyAddress,
  IPv6Address,
  IPv6ProxyAddress,
  Peer,
  TransportProtocol,
  UnspecProxyAddress,
  V1BinaryProxyProtocol,
  V2ProxyProtocol,
} from "proxy-protocol-js";
import { canonicalIp, type Address, type AddressPair } from "./address.ts";
import { crc32c } from "./crc32c.ts";
import { ipv4Octets, ipv6Octets } from "./ip-octets.ts";

/*
 * The PROXY header (HAProxy's proxy-protocol.txt), version 1 and 2, written and read. This is the only file that touches
 * proxy-protocol-js, and it uses it for what it does well: laying out the fixed part of a header (and, in the tests, as the
 * second opinion on every well-formed one). Reading is ours, because the library
 *  - takes v2 TLVs for application data, and reads a cut header as one with undefined octets and NaN ports;
 *  - can't tell "need more bytes" from "malformed", and throws things that are no Error;
 *  - accepts `999.1.1.1`, `::1` under TCP4, port 70000 and text of any length in v1, and refuses the legal `PROXY UNKNOWN`;
 *  - has no TLVs, no CRC-32C, no text form of an address, and wraps a port that is out of range on writing.
 */

/** What a PROXY header says about a connection. */
export interface ProxyHeader {
  /** Undefined for LOCAL, UNKNOWN, UNSPEC, unix and datagram senders: the receiver keeps its socket's own addresses. */
  readonly addresses: AddressPair | undefined;
  /** The server name the peer asked for (PP2_TYPE_AUTHORITY). */
  readonly authority?: string;
  /** The sender's connection id (PP2_TYPE_UNIQUE_ID): opaque octets, one character each, at most 128. */
  readonly uniqueId?: string;
  /** Gatehouse dispatchers already passed, 0 to 255 (our own TLV): what a loop of routes is seen by. */
  readonly hops: number;
}

export type ProxyHeaderRead =
  | { readonly kind: "incomplete" }
  | { readonly kind: "header"; readonly header: ProxyHeader; readonly length: number }
  | { readonly kind: "malformed"; readonly problem: string };

/** Longest v1 line in octets, CRLF included (proxy-protocol.txt 2.1). */
const V1_MAX_LENGTH = 107;
const V1_START = Buffer.from("PROXY ");
const V2_SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Signature, version and command, family and transport, length. */
const V2_FIXED_LENGTH = 16;
/** Longest v2 address block and TLVs in octets. Real ones stay below 600; the length field alone could ask us to hold 64 KiB. */
const V2_MAX_LENGTH = 4096;
/** PP2_TYPE_UNIQUE_ID holds at most this many octets (proxy-protocol.txt 2.2.5). */
const MAX_UNIQUE_ID_LENGTH = 128;

/** Octets of type and length. */
const TLV_HEAD_LENGTH = 3;
const TLV_AUTHORITY = 0x02;
const TLV_CRC32C = 0x03;
const TLV_UNIQUE_ID = 0x05;
/** In the range for applications (0xE0 to 0xEF); Google uses 0xE0, AWS 0xEA, Azure 0xEE. */
const TLV_HOPS = 0xe4;

const INCOMPLETE: ProxyHeaderRead = { kind: "incomplete" };

/**
 * Reads a PROXY header from the start of what arrived so far; `length` is what it occupies, the bytes behind it are the
 * connection's own. Pure: call it again with more bytes after `incomplete`. A first byte that begins neither version is
 * malformed at once, so nothing is ever guessed (proxy-protocol.txt 2: "MUST NOT try to guess"). Never throws.
 */
export function readProxyHeader(bytes: Buffer): ProxyHeaderRead {
  if (bytes.length === 0) return INCOMPLETE;
  return bytes[0] === V1_START[0] ? readV1(bytes) : readV2(bytes);
}

/**
 * Returns the header as it goes on the wire. v1 has no room for anything but addresses.
 * @throws {RangeError} for an address or port that can't be written, and for TLVs over the bounds that the reader holds.
 */
export function writeProxyHeader(version: "v1" | "v2", header: ProxyHeader): Buffer {
  return version === "v1" ? writeV1(header.addresses) : writeV2(header);
}

function readV1(bytes: Buffer): ProxyHeaderRead {
  const start = bytes.subarray(0, V1_START.length);
  if (!start.equals(V1_START.subarray(0, start.length))) return malformed("starts no PROXY header");
  const window = bytes.subarray(0, V1_MAX_LENGTH);
  const carriageReturn = window.indexOf(0x0d);
  const isEndSeen = carriageReturn !== -1 && carriageReturn + 1 < window.length;
  if (!isEndSeen) {
    return bytes.length >= V1_MAX_LENGTH ? malformed(`v1 line over ${V1_MAX_LENGTH} bytes`) : INCOMPLETE;
  }
  if (window[carriageReturn + 1] !== 0x0a) return malformed("v1 line with a bare CR");
  const addresses = parseV1Line(window.toString("latin1", V1_START.length, carriageReturn));
  if (typeof addresses === "string") return malformed(addresses);
  return { kind: "header", header: { addresses, hops: 0 }, length: carriageReturn + 2 };
}

/** Returns the addresses, undefined for UNKNOWN, or the problem. The line is never quoted: it is the sender's own text. */
function parseV1Line(line: string): AddressPair | undefined | string {
  // What follows UNKNOWN is to be ignored (proxy-protocol.txt 2.1).
  if (line === "UNKNOWN" || line.startsWith("UNKNOWN ")) return undefined;
  const match = /^(TCP4|TCP6) ([^ ]+) ([^ ]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/.exec(line);
  if (!match) return "v1 line is not UNKNOWN or TCP4/TCP6 with two addresses and two ports";
  const [, family, sourceIp = "", destinationIp = "", ...ports] = match;
  const isFamily = family === "TCP4" ? isIPv4 : isUnzonedIPv6;
  if (!isFamily(sourceIp) || !isFamily(destinationIp)) return `v1 address that is not ${family}`;
  const [sourcePort = 0, destinationPort = 0] = ports.map(Number);
  if (Math.max(sourcePort, destinationPort) > 65_535) return "v1 port over 65535";
  return { source: toAddress(sourceIp, sourcePort), destination: toAddress(destinationIp, destinationPort) };
}

function readV2(bytes: Buffer): ProxyHeaderRead {
  const start = bytes.subarray(0, V2_SIGNATURE.length);
  if (!start.equals(V2_SIGNATURE.subarray(0, start.length))) return malformed("starts no PROXY header");
  const command = bytes[12];
  if (command !== undefined && command !== 0x20 && command !== 0x21)
    return malformed("v2 version or command");
  if (bytes.length < V2_FIXED_LENGTH) return INCOMPLETE;
  const length = bytes.readUInt16BE(14);
  if (length > V2_MAX_LENGTH) return malformed(`v2 header over ${V2_MAX_LENGTH} bytes`);
  const end = V2_FIXED_LENGTH + length;
  if (bytes.length < end) return INCOMPLETE;
  // LOCAL: the sender's own connection, a health check. The rest is to be skipped, the family ignored (2.2).
  if (command === 0x20) return { kind: "header", header: { addresses: undefined, hops: 0 }, length: end };
  return readV2Block(bytes.subarray(0, end));
}

/** Octets of the address block by family: UNSPEC, INET, INET6, UNIX. */
const V2_BLOCK_LENGTHS = [0, 12, 36, 216];

function readV2Block(whole: Buffer): ProxyHeaderRead {
  const family = whole.readUInt8(13) >> 4;
  const transport = whole.readUInt8(13) & 0x0f;
  const blockLength = V2_BLOCK_LENGTHS[family];
  if (blockLength === undefined || transport > 2) return malformed("v2 address family or transport");
  const tlvStart = V2_FIXED_LENGTH + blockLength;
  if (tlvStart > whole.length) return malformed("v2 length shorter than its addresses");
  const tlvs = readTlvs(whole, tlvStart);
  if (typeof tlvs === "string") return malformed(tlvs);
  // Only a stream over IP describes a connection such as ours.
  const addresses = transport === 1 ? readV2Addresses(whole, family) : undefined;
  return { kind: "header", header: { addresses, ...tlvs }, length: whole.length };
}

function readV2Addresses(whole: Buffer, family: number): AddressPair | undefined {
  const size = family === 1 ? 4 : 16;
  if (family !== 1 && family !== 2) return undefined;
  const ports = V2_FIXED_LENGTH + 2 * size;
  return {
    source: toAddress(
      ipText(whole.subarray(V2_FIXED_LENGTH, V2_FIXED_LENGTH + size)),
      whole.readUInt16BE(ports),
    ),
    destination: toAddress(
      ipText(whole.subarray(V2_FIXED_LENGTH + size, ports)),
      whole.readUInt16BE(ports + 2),
    ),
  };
}

interface TlvValue {
  readonly start: number;
  readonly end: number;
}

const TLVS_READ: ReadonlySet<number> = new Set([TLV_AUTHORITY, TLV_CRC32C, TLV_UNIQUE_ID, TLV_HOPS]);

/** Returns what the TLVs say, or the problem. */
function readTlvs(whole: Buffer, start: number): Omit<ProxyHeader, "addresses"> | string {
  const values = findTlvs(whole, start);
  if (typeof values === "string") return values;
  const authority = values.get(TLV_AUTHORITY);
  const checksum = values.get(TLV_CRC32C);
  const uniqueId = values.get(TLV_UNIQUE_ID);
  const hops = values.get(TLV_HOPS);
  if (checksum && !isChecksumRight(whole, checksum)) return "v2 checksum";
  if (uniqueId && uniqueId.end - uniqueId.start > MAX_UNIQUE_ID_LENGTH) {
    return `v2 UNIQUE_ID over ${MAX_UNIQUE_ID_LENGTH} bytes`;
  }
  return {
    ...(authority && { authority: whole.toString("utf8", authority.start, authority.end) }),
    ...(uniqueId && { uniqueId: whole.toString("latin1", uniqueId.start, uniqueId.end) }),
    // Another sender may use this number for something else: ours is always one octet.
    hops: hops && hops.end - hops.start === 1 ? whole.readUInt8(hops.start) : 0,
  };
}

/** Returns where the values of the types we read lie, or the problem. Other types, NOOP among them, are skipped by their length. */
function findTlvs(whole: Buffer, start: number): Map<number, TlvValue> | string {
  const values = new Map<number, TlvValue>();
  for (let at = start; at < whole.length;) {
    if (at + 3 > whole.length) return "v2 TLV cut short";
    const type = whole.readUInt8(at);
    const value = { start: at + 3, end: at + 3 + whole.readUInt16BE(at + 1) };
    at = value.end;
    if (at > whole.length) return "v2 TLV longer than the header";
    if (!TLVS_READ.has(type)) continue;
    // Two answers to one question is how two receivers come to disagree.
    if (values.has(type)) return "v2 TLV given twice";
    values.set(type, value);
  }
  return values;
}

/** The sum is taken over the whole header with its own four octets zero (proxy-protocol.txt 2.2.4). */
function isChecksumRight(whole: Buffer, { start, end }: TlvValue): boolean {
  if (end - start !== 4) return false;
  const zeroed = Buffer.from(whole);
  zeroed.fill(0, start, end);
  return crc32c(zeroed) === whole.readUInt32BE(start);
}

function writeV1(addresses: AddressPair | undefined): Buffer {
  // The library writes two addresses and two ports behind UNKNOWN; the short form is what every receiver knows.
  if (addresses === undefined) return Buffer.from("PROXY UNKNOWN\r\n");
  const { source, destination } = addresses;
  const isIPv4Pair = [source, destination].every((end) => octetsOf(end).length === 4);
  const peer = ({ ip, port }: Address): Peer =>
    new Peer(isIPv4Pair || ip.includes(":") ? ip : `::ffff:${ip}`, port);
  const family = isIPv4Pair ? INETProtocol.TCP4 : INETProtocol.TCP6;
  const built = new V1BinaryProxyProtocol(family, peer(source), peer(destination)).build();
  return Buffer.from(built.buffer, built.byteOffset, built.byteLength);
}

function writeV2({ addresses, authority, uniqueId, hops }: ProxyHeader): Buffer {
  if (uniqueId !== undefined && uniqueId.length > MAX_UNIQUE_ID_LENGTH)
    throw new RangeError("a unique id has at most 128 octets");
  const fixed = fixedPart(addresses);
  const authorityLength = authority === undefined ? 0 : Buffer.byteLength(authority);
  const length =
    fixed.length +
    (authority === undefined ? 0 : TLV_HEAD_LENGTH + authorityLength) +
    (uniqueId === undefined ? 0 : TLV_HEAD_LENGTH + uniqueId.length) +
    (hops > 0 ? TLV_HEAD_LENGTH + 1 : 0);
  if (length - V2_FIXED_LENGTH > V2_MAX_LENGTH)
    throw new RangeError(`a PROXY header has at most ${V2_MAX_LENGTH} octets`);
  // Once per connection, so it is written in place.
  const header = Buffer.allocUnsafe(length);
  header.set(fixed);
  // The library counts only the addresses.
  header.writeUInt16BE(length - V2_FIXED_LENGTH, 14);
  let at = fixed.length;
  if (authority !== undefined) {
    at += writeTlvHead(header.subarray(at), TLV_AUTHORITY, authorityLength);
    at += header.write(authority, at, "utf8");
  }
  if (uniqueId !== undefined) {
    at += writeTlvHead(header.subarray(at), TLV_UNIQUE_ID, uniqueId.length);
    at += header.write(uniqueId, at, "latin1");
  }
  if (hops > 0) header[at + writeTlvHead(header.subarray(at), TLV_HOPS, 1)] = Math.min(hops, 255);
  return header;
}

/** Returns its octets. */
function writeTlvHead(to: Buffer, type: number, length: number): number {
  to[0] = type;
  return to.writeUInt16BE(length, 1);
}

/** A relayed connection without known addresses is PROXY UNSPEC, not LOCAL: a receiver skips all of a LOCAL, TLVs included. */
function fixedPart(addresses: AddressPair | undefined): Uint8Array {
  if (addresses === undefined) {
    return new V2ProxyProtocol(Command.PROXY, TransportProtocol.UNSPEC, new UnspecProxyAddress()).build();
  }
  const { source, destination } = addresses;
  const [from, to] = [octetsOf(source), octetsOf(destination)];
  const block =
    from.length === 4 && to.length === 4
      ? new IPv4ProxyAddress(
          IPv4Address.createFrom(from),
          source.port,
          IPv4Address.createFrom(to),
          destination.port,
        )
      : new IPv6ProxyAddress(
          IPv6Address.createFrom(mapped(from)),
          source.port,
          IPv6Address.createFrom(mapped(to)),
          destination.port,
        );
  return new V2ProxyProtocol(Command.PROXY, TransportProtocol.STREAM, block).build();
}

/** Returns 4 or 16 octets. @throws {RangeError} for what a header can't hold */
function octetsOf({ ip, port }: Address): number[] {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw new RangeError("a port is 0 to 65535");
  const octets = ipv4Octets(ip) ?? (isUnzonedIPv6(ip) ? ipv6Octets(ip) : undefined);
  if (octets === undefined) throw new RangeError("a PROXY header holds IP addresses without zone");
  return octets;
}

/** A header has room for one family: an IPv4 end beside an IPv6 one takes its mapped form. */
function mapped(octets: number[]): number[] {
  return octets.length === 4 ? [...Array<number>(10).fill(0), 0xff, 0xff, ...octets] : octets;
}

function isUnzonedIPv6(text: string): boolean {
  return text.includes(":") && isIPv6(text) && !text.includes("%");
}

/** An address in the one form that logs, lists and comparisons use: RFC 5952 text, IPv4-mapped folded. */
function toAddress(ip: string, port: number): Address {
  if (isIPv4(ip)) return { ip, port };
  return { ip: canonicalIp(new SocketAddress({ address: ip, family: "ipv6" }).address), port };
}

function ipText(octets: Buffer): string {
  if (octets.length === 4) return octets.join(".");
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push(octets.readUInt16BE(at).toString(16));
  return groups.join(":");
}

function malformed(problem: string): ProxyHeaderRead {
  return { kind: "malformed", problem };
}
