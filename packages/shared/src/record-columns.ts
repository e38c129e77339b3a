import { isIPv4, isIPv6 } from "node:net";
import { canonicalIp } from "./address.ts";
import { ipv4Octets, ipv6Octets } from "./ip-octets.ts";
import { LEVELS, type LogRecord } from "./log-record.ts";
import { isUid, slownessMs, type RecordFilter } from "./record-filter.ts";

/*
 * The index of the stored record: one string a field, in which every record has a cell of fixed width. A cell says what a record
 * may be, never what it is not: text is hashed, an IPv6 address is cut to its /64, so a match is confirmed by the record itself.
 * All numbers are big-endian; a field that a record has not got is zero.
 */

/** One column: how wide a cell is, and how it is filled. */
interface Column {
  /** Octets. */
  readonly width: number;
  readonly write: (record: LogRecord, cells: Buffer, at: number) => void;
}

/** Tells from a cell whether its record may match. */
type CellTest = (cells: Buffer, at: number) => boolean;

/** What a filter asks of one column. */
export interface ColumnTest {
  readonly column: ColumnName;
  readonly test: CellTest;
}

const textColumn = (text: (record: LogRecord) => string | undefined): Column => ({
  width: 4,
  write: (record, cells, at) => cells.writeUInt32BE(hashOf(text(record)), at),
});

const COLUMNS = {
  time: { width: 6, write: writeTime },
  ip: { width: 8, write: writeAddress },
  hostname: textColumn(({ hostname }) => hostname),
  user: textColumn(({ user }) => user?.toLowerCase()),
  uid: textColumn(({ uid }) => uid),
  client: textColumn(({ client_id }) => client_id),
  req: textColumn(({ req }) => req),
  conn: textColumn(({ conn }) => conn),
  status: {
    width: 2,
    write: ({ status = 0 }, cells, at) => cells.writeUInt16BE(toUInt(status, 2 ** 16), at),
  },
  /** 1 for the weightiest. */
  level: { width: 1, write: ({ level }, cells, at) => cells.writeUInt8(LEVELS.indexOf(level) + 1, at) },
  /** Milliseconds and one, so that 0 is none. */
  slow: {
    width: 4,
    write: (record, cells, at) => cells.writeUInt32BE(toUInt((slownessMs(record) ?? -1) + 1, 2 ** 32), at),
  },
} as const satisfies Record<string, Column>;

export type ColumnName = keyof typeof COLUMNS;

/** In the order in which a segment's column keys stand. */
export const COLUMN_NAMES = Object.keys(COLUMNS) as ColumnName[];

const ALL_COLUMNS: readonly Column[] = Object.values(COLUMNS);

/** Octets of one cell. */
export function columnWidth(name: ColumnName): number {
  return COLUMNS[name].width;
}

/** Octets of index for one record, whatever it holds. */
export const INDEX_BYTES_PER_RECORD: number = COLUMN_NAMES.reduce((sum, name) => sum + columnWidth(name), 0);

/** Writes the cells of one record, each into its column's buffer, in the order of {@link COLUMN_NAMES}. */
export function writeCells(record: LogRecord, columns: readonly Buffer[], number: number): void {
  // By index: an iterator's pairs would be eleven objects a record.
  for (let index = 0; index < ALL_COLUMNS.length; index++) {
    const column = ALL_COLUMNS[index];
    const cells = columns[index];
    if (column !== undefined && cells !== undefined) column.write(record, cells, number * column.width);
  }
}

type Members = Required<RecordFilter>;

/** What each member of a filter asks; those that leave the fewest come first. */
const ASKED: { readonly [Member in keyof Members]: (value: Members[Member]) => ColumnTest } = {
  req: (req) => ({ column: "req", test: hashTest(req) }),
  conn: (conn) => ({ column: "conn", test: hashTest(conn) }),
  ip: (ip) => ({ column: "ip", test: addressTest(ip) }),
  user: (user) =>
    isUid(user)
      ? { column: "uid", test: hashTest(user) }
      : { column: "user", test: hashTest(user.toLowerCase()) },
  clientId: (clientId) => ({ column: "client", test: hashTest(clientId) }),
  hostname: (hostname) => ({ column: "hostname", test: hashTest(hostname) }),
  status: ({ from, to }) => ({ column: "status", test: rangeTest(2, from, to) }),
  slowMs: (slowMs) => ({ column: "slow", test: rangeTest(4, Math.floor(slowMs) + 1, 2 ** 32) }),
  level: (level) => ({ column: "level", test: rangeTest(1, 1, LEVELS.indexOf(level) + 1) }),
  since: (since) => ({ column: "time", test: rangeTest(6, Math.floor(since), 2 ** 48) }),
  until: (until) => ({ column: "time", test: rangeTest(6, 0, Math.ceil(until)) }),
};

/** Returns what a filter asks of the columns; all of it must hold. Empty for a filter that takes everything. */
export function columnTests(filter: RecordFilter): readonly ColumnTest[] {
  const members = Object.keys(ASKED) as (keyof RecordFilter)[];
  return members.flatMap((member) => askedBy(filter, member) ?? []);
}

function askedBy<Member extends keyof Members>(
  filter: Pick<RecordFilter, Member>,
  member: Member,
): ColumnTest | undefined {
  // The compiler does not see that a member of one is a member of the other.
  const value = filter[member] as Members[Member] | undefined;
  return value === undefined ? undefined : ASKED[member](value);
}

function toUInt(value: number, limit: number): number {
  return Math.min(Math.max(Math.floor(value), 0), limit - 1);
}

/** FNV-1a, 32 bits over UTF-16 units; 0 stands for no text. */
function hashOf(text: string | undefined): number {
  if (text === undefined) return 0;
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  }
  return hash >>> 0 || 1;
}

function hashTest(text: string): CellTest {
  const hash = hashOf(text);
  return (cells, at) => cells.readUInt32BE(at) === hash;
}

/** `from` and `to` are inclusive. */
function rangeTest(width: number, from: number, to: number): CellTest {
  return (cells, at) => {
    const value = cells.readUIntBE(at, width);
    return value >= from && value <= to;
  };
}

/** The address as two halves of its first 64 bits; IPv4 is the second half, behind zeros. */
function addressHalves(ip: string): readonly [number, number] | undefined {
  const ipv4 = ipv4Octets(ip);
  if (ipv4 !== undefined) return [0, ipv4.reduce((sum, octet) => sum * 256 + octet, 0)];
  if (!isIPv6(ip) || ip.includes("%")) return undefined;
  const octets = Buffer.from(ipv6Octets(ip));
  return [octets.readUInt32BE(0), octets.readUInt32BE(4)];
}

function writeTime({ time }: LogRecord, cells: Buffer, at: number): void {
  const milliseconds = toUInt(time, 2 ** 48);
  cells.writeUInt16BE(Math.floor(milliseconds / 2 ** 32), at);
  cells.writeUInt32BE(milliseconds % 2 ** 32, at + 2);
}

function writeAddress({ ip }: LogRecord, cells: Buffer, at: number): void {
  const [high, low] = (ip === undefined ? undefined : addressHalves(ip)) ?? [0, 0];
  cells.writeUInt32BE(high, at);
  cells.writeUInt32BE(low, at + 4);
}

/** @throws {TypeError} for text that is neither an address nor a block */
function addressTest(block: string): CellTest {
  const [text = "", length] = block.split("/", 2);
  const ip = canonicalIp(text);
  const halves = addressHalves(ip);
  if (halves === undefined) throw new TypeError("an address or CIDR block that can't be read");
  const longest = isIPv4(ip) ? 32 : 64;
  const prefix = Math.min(length === undefined ? longest : Number(length), longest);
  // IPv4 lies in the second half; its first half is zero and has to be.
  const [highMask, lowMask] = isIPv4(ip)
    ? [0xffffffff, mask(prefix)]
    : [mask(Math.min(prefix, 32)), mask(Math.max(prefix - 32, 0))];
  const high = (halves[0] & highMask) >>> 0;
  const low = (halves[1] & lowMask) >>> 0;
  return (cells, at) =>
    (cells.readUInt32BE(at) & highMask) >>> 0 === high &&
    (cells.readUInt32BE(at + 4) & lowMask) >>> 0 === low;
}

/** The `bits` highest of 32. */
function mask(bits: number): number {
  return bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
}
