/** Longest redirect URI that is taken; browsers and servers cut longer request lines anyway. */
const MAX_LENGTH = 2048;

/** Schemes that run code or read files in a browser: never accepted, not even from the list. */
const FORBIDDEN_SCHEMES: ReadonlySet<string> = new Set([
  "about:",
  "blob:",
  "data:",
  "file:",
  "filesystem:",
  "ftp:",
  "javascript:",
  "vbscript:",
  "view-source:",
  "ws:",
  "wss:",
]);

/** What kind of place a redirect URI leads to (RFC 8252 section 7). */
type RedirectUriKind = "https" | "loopback" | "private-use";

export type RedirectUriCheck =
  | {
      readonly ok: true;
      readonly kind: RedirectUriKind;
      /** What a person should read before agreeing: hostname with any port, or the scheme of a private-use URI. */
      readonly host: string;
    }
  | { readonly ok: false; readonly problem: string };

/** Read from the text, not from the parsed URL: parsers turn `127.1`, `0x7f.1` and `[::0:1]` into loopback too. */
const LOOPBACK = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(?::\d{1,5})?(?=[/?]|$)/i;

/**
 * Checks a redirect URI that a client wants to register: https; http only to `localhost`, `127.0.0.1` and `[::1]`; other schemes
 * only from the list (with the colon, as `cursor:`). No userinfo, fragment or wildcard anywhere. Never throws.
 */
export function checkRedirectUri(uri: string, schemes: readonly string[]): RedirectUriCheck {
  const problem = textProblem(uri);
  if (problem !== undefined) return { ok: false, problem };
  const url = URL.parse(uri);
  if (url === null) return { ok: false, problem: "must be an absolute URI" };
  switch (url.protocol) {
    case "https:":
      return /^https:\/\/[^/?]/i.test(uri)
        ? { ok: true, kind: "https", host: url.host }
        : { ok: false, problem: "must have a host" };
    case "http:":
      return LOOPBACK.test(uri)
        ? { ok: true, kind: "loopback", host: url.host }
        : { ok: false, problem: "must be https unless it is localhost, 127.0.0.1 or [::1]" };
    default:
      return schemes.includes(url.protocol) && !FORBIDDEN_SCHEMES.has(url.protocol)
        ? { ok: true, kind: "private-use", host: url.protocol }
        : { ok: false, problem: `must not use the scheme ${url.protocol.slice(0, -1)}` };
  }
}

/** What no redirect URI may hold, looked for in the text: parsers drop or repair most of it. */
function textProblem(uri: string): string | undefined {
  if (uri.length > MAX_LENGTH) return `must have at most ${MAX_LENGTH} characters`;
  if (!/^[\u0021-\u007e]+$/.test(uri) || uri.includes("\\"))
    return "must be a URI: printable ASCII, no spaces, no backslash";
  if (uri.includes("#")) return "must not have a fragment";
  if (uri.includes("*")) return "must not have a wildcard";
  return /^[^/]*\/\/[^/?]*@/.test(uri) ? "must not have userinfo" : undefined;
}
