import { AddressList } from "./address.ts";
import { LEVELS, type Level, type LogRecord } from "./log-record.ts";

/** What records are asked for; every member that is given must hold. */
export interface RecordFilter {
  /** An address or a CIDR block, as {@link AddressList} reads them. */
  readonly ip?: string;
  /** Canonical. */
  readonly hostname?: string;
  /** A login, compared without case, or a provider's id (`github:583231`). */
  readonly user?: string;
  readonly clientId?: string;
  readonly req?: string;
  readonly conn?: string;
  /** Inclusive. */
  readonly status?: { readonly from: number; readonly to: number };
  /** That level or a weightier one. */
  readonly level?: Level;
  /** Milliseconds: requests that took so long or longer; see {@link slownessMs}. */
  readonly slowMs?: number;
  /** Milliseconds since the epoch, inclusive. */
  readonly since?: number;
  /** Milliseconds since the epoch, exclusive. */
  readonly until?: number;
}

/** Returns the test of one record. The index narrows down; this decides. */
export function recordTest(filter: RecordFilter): (record: LogRecord) => boolean {
  const tests = [identityTest(filter), originTest(filter), outcomeTest(filter), timeTest(filter)];
  return (record) => tests.every((test) => test(record));
}

/**
 * Returns what `slow` compares, in milliseconds: of a request how long it took, of a stream how long its beginning took, because a
 * stream may well last for hours; undefined for anything else.
 */
export function slownessMs(record: LogRecord): number | undefined {
  if (record.event !== "request_ended") return undefined;
  const isStream = record.chunks !== undefined || record.status === 101;
  return isStream ? record.upstream_ms : record.duration_ms;
}

/** True for text that stands for a user's immutable id and not for a login: `github:583231`. */
export function isUid(user: string): boolean {
  return user.includes(":");
}

function identityTest({ user, clientId, req, conn }: RecordFilter): (record: LogRecord) => boolean {
  const login = user?.toLowerCase();
  return (record) =>
    (user === undefined || record.uid === user || record.user?.toLowerCase() === login) &&
    (clientId === undefined || record.client_id === clientId) &&
    (req === undefined || record.req === req) &&
    (conn === undefined || record.conn === conn);
}

function originTest({ ip, hostname }: RecordFilter): (record: LogRecord) => boolean {
  const addresses = ip === undefined ? undefined : AddressList.parse([ip]);
  if (addresses?.ok === false) throw new TypeError("an address or CIDR block that can't be read");
  return (record) =>
    (addresses === undefined || (record.ip !== undefined && addresses.list.has(record.ip))) &&
    (hostname === undefined || record.hostname === hostname);
}

function outcomeTest({ status, level, slowMs }: RecordFilter): (record: LogRecord) => boolean {
  const rank = level === undefined ? LEVELS.length : LEVELS.indexOf(level);
  return (record) =>
    LEVELS.indexOf(record.level) <= rank &&
    (status === undefined ||
      (record.status !== undefined && record.status >= status.from && record.status <= status.to)) &&
    (slowMs === undefined || (slownessMs(record) ?? -1) >= slowMs);
}

function timeTest({ since, until }: RecordFilter): (record: LogRecord) => boolean {
  return ({ time }) => (since === undefined || time >= since) && (until === undefined || time < until);
}
