import { isHopByHop, nominatedNames, withoutNames } from "./hop-by-hop.ts";

/** A response's head as it may travel on. */
export interface ResponseFields {
  /** Flat name-value list in the upstream's order and letter case; repeated fields stay repeated. */
  fields: string[];
  /** Neither length nor chunks: the end of the connection is the end of the body (RFC 9112 section 6.3). */
  endsWithConnection: boolean;
  isEventStream: boolean;
  /** A transfer coding other than `chunked`, which nobody here can undo: without its field the body would be another. */
  isCoded: boolean;
  /** The upstream announced trailers (RFC 9110 section 6.6.2) and the framing can carry them. */
  announcesTrailers: boolean;
}

type RawFields = readonly (Buffer | string)[];

/** Reads what undici kept of a response's raw headers. `hasBody` is false for HEAD, 204 and 304. */
export function readResponseFields(raw: unknown, hasBody: boolean): ResponseFields {
  const result: ResponseFields = {
    fields: [],
    endsWithConnection: hasBody,
    isEventStream: false,
    isCoded: false,
    announcesTrailers: false,
  };
  const seen = { connection: "", trailer: "", hasLength: false };
  if (isRawFields(raw)) {
    for (let i = 0; i + 1 < raw.length; i += 2) {
      const name = text(raw[i]);
      const value = text(raw[i + 1]);
      if (takeField(name.toLowerCase(), value, { result, seen })) result.fields.push(name, value);
    }
  }
  if (seen.hasLength) result.endsWithConnection = false;
  // Node refuses a Trailer field on a message that is not chunked, and there it would promise what can't come.
  if (seen.trailer !== "" && hasBody && !seen.hasLength) {
    result.announcesTrailers = true;
    result.fields.push("Trailer", seen.trailer);
  }
  const nominated = seen.connection === "" ? undefined : nominatedNames(seen.connection);
  if (nominated !== undefined) result.fields = withoutNames(result.fields, nominated);
  return result;
}

interface Seen {
  connection: string;
  trailer: string;
  hasLength: boolean;
}

/** Notes what a field decides; true when it travels on. */
function takeField(
  name: string,
  value: string,
  { result, seen }: { result: ResponseFields; seen: Seen },
): boolean {
  switch (name) {
    case "connection":
      seen.connection += `,${value}`;
      return false;
    case "transfer-encoding":
      result.isCoded ||= value.toLowerCase() !== "chunked";
      result.endsWithConnection = false;
      return false;
    case "trailer":
      seen.trailer = value;
      return false;
    case "content-length":
      seen.hasLength = true;
      return true;
    case "content-type":
      result.isEventStream = /^text\/event-stream[ \t]*(?:;|$)/i.test(value);
      return true;
    default:
      return !isHopByHop(name);
  }
}

/** Fields that a recipient needs before the content, or that decide about more than the content (RFC 9110 section 6.5.1). */
const NEVER_TRAILING: ReadonlySet<string> = new Set([
  "age",
  "authorization",
  "cache-control",
  "content-encoding",
  "content-length",
  "content-range",
  "content-type",
  "expires",
  "host",
  "location",
  "mcp-session-id",
  "proxy-authenticate",
  "retry-after",
  "set-cookie",
  "trailer",
  "vary",
  "www-authenticate",
]);

/** Returns the trailers that may travel on, as pairs. */
export function readTrailers(raw: unknown): [name: string, value: string][] {
  return pairs(raw).filter(([name]) => {
    const lower = name.toLowerCase();
    return !isHopByHop(lower) && !NEVER_TRAILING.has(lower) && !lower.startsWith("access-control-");
  });
}

/** undici hands over what its parser read: names and values in turn, as octets. */
function pairs(raw: unknown): [name: string, value: string][] {
  const list: [string, string][] = [];
  if (!isRawFields(raw)) return list;
  for (let i = 0; i + 1 < raw.length; i += 2) list.push([text(raw[i]), text(raw[i + 1])]);
  return list;
}

function isRawFields(raw: unknown): raw is RawFields {
  return Array.isArray(raw);
}

/** Header octets are Latin-1 to Node on the way in and on the way out, so every octet comes through. */
function text(part: Buffer | string | undefined): string {
  return typeof part === "object" ? part.toString("latin1") : (part ?? "");
}
