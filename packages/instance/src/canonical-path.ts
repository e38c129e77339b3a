/** The target of one request, as it is recorded and forwarded: never rewritten, so the two can't differ. */
export interface RequestTarget {
  /** Starts with a slash; exactly the octets the peer sent. */
  readonly path: string;
  /** Empty, or the query with its question mark; exactly the octets the peer sent. */
  readonly query: string;
  /**
   * True when the path has one spelling only. Where a path decides about access, a path with a second spelling must be
   * refused (400) instead of compared: what the rule reads and what the upstream reads may differ.
   */
  readonly isCanonical: boolean;
  /** Host and port of an absolute-form target; it outranks `Host` (RFC 9112 section 3.2.2) and must name this host too. */
  readonly authority?: string;
}

export type RequestTargetRead =
  | { readonly ok: true; readonly target: RequestTarget }
  | { readonly ok: false; readonly problem: string };

/**
 * Segments that are neither empty nor dots, also where what some readers drop is dropped (parameters, and spaces at the end of a name), of the characters that RFC 3986 section 3.3 allows unencoded and, encoded in upper case,
 * of those that it does not. An encoded percent sign passes unless hex digits follow: some readers decode twice.
 */
const CANONICAL_PATH =
  /^\/(?:(?!\.{0,2}(?:%20)*(?:[;/]|$))(?:[\w~!$&'()*+,;=:@.-]|%(?:2[023]|3[CEF]|5[BDE]|60|7[BCD]|[89A-F][0-9A-F])|%25(?![0-9A-Fa-f]{2}))+(?:\/|$))*$/;
/** Space, controls and DEL can't stand in a target; a fragment never travels (RFC 9112 section 3.2). */
const FORBIDDEN = /[\u0000-\u0020\u007f#]/;
const BROKEN_ENCODING = /%(?![0-9A-Fa-f]{2})/;
const ENCODED_CONTROL = /%(?:[01][0-9A-Fa-f]|7[Ff])/;
const SEPARATOR = /\/|%2[Ff]|%5[Cc]/;
/** With parameters too: servlet containers drop `;…` from a segment before they resolve its dots. */
const DOT_SEGMENT = /^(?:\.|%2[Ee]){1,2}(?:(?:;|%3[Bb]).*)?$/;
const ABSOLUTE_FORM = /^https?:\/\/([^/?#]*)(.*)$/i;

/**
 * Reads a request target. One rule: a target passes as it is or is refused; nothing is ever normalised on the way.
 *
 * Refused, because readers are known to disagree on where it leads, and below a base path it could lead outside of it:
 * dot segments in every spelling (`/a/../b`, `/%2e%2e/b`, `/a%2f..%2fb`, `/a%5c..`, `/a/..;/b`), a backslash, broken encodings (`/100%`),
 * encoded control characters (`/a%00`, `/a%0d%0a`), raw controls and space, a fragment, and forms that name no path (`*`).
 *
 * Passed unchanged, canonical: `/mcp`, `/`, `/a%20b`, `/%E2%9C%93?x=%2F..%2F`, `/users/@me;v=1`.
 * Passed unchanged, not canonical: `//mcp`, `/a//b`, `/group%2Fproject`, `/%7Euser`, `/%61dmin`, `/a%3Ab`,
 * `/caf%c3%a9`, `/a|b`, and what is no UTF-8, such as `/caf%E9` and the overlong `/%C0%AE`.
 */
export function readRequestTarget(text: string): RequestTargetRead {
  if (!text.startsWith("/")) return readAbsoluteForm(text);
  const mark = text.indexOf("?");
  const path = mark === -1 ? text : text.slice(0, mark);
  const query = mark === -1 ? "" : text.slice(mark);
  if (FORBIDDEN.test(text)) return refused("a space, control character or fragment in the target");
  if (CANONICAL_PATH.test(path)) return { ok: true, target: { path, query, isCanonical: isUtf8(path) } };
  const problem = ambiguity(path);
  if (problem !== undefined) return refused(problem);
  return { ok: true, target: { path, query, isCanonical: false } };
}

function readAbsoluteForm(text: string): RequestTargetRead {
  const match = ABSOLUTE_FORM.exec(text);
  if (match === null) return refused("the target is not a path");
  const [, authority = "", rest = ""] = match;
  // An empty path in absolute form means "/" (RFC 9112 section 3.2.1).
  const read = readRequestTarget(rest.startsWith("/") ? rest : `/${rest}`);
  return read.ok ? { ok: true, target: { ...read.target, authority } } : read;
}

function ambiguity(path: string): string | undefined {
  if (path.includes("\\")) return "a backslash in the path";
  if (BROKEN_ENCODING.test(path)) return "a broken percent-encoding in the path";
  if (ENCODED_CONTROL.test(path)) return "an encoded control character in the path";
  if (path.split(SEPARATOR).some((segment) => DOT_SEGMENT.test(segment))) return "a dot segment in the path";
  return undefined;
}

/** Octets that are no UTF-8, overlong forms among them, mean to each reader what it makes of them. */
function isUtf8(path: string): boolean {
  if (!path.includes("%")) return true;
  try {
    decodeURIComponent(path);
    return true;
  } catch {
    // The only thing it ever says.
    return false;
  }
}

function refused(problem: string): RequestTargetRead {
  return { ok: false, problem };
}
