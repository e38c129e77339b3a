import { isIPv4, isIPv6 } from "node:net";

declare const hostnameBrand: unique symbol;

/** A validated, lower-case DNS hostname without trailing dot: safe as a Redis key part and as a log field. */
export type Hostname = string & { readonly [hostnameBrand]: true };

/** Why a name was refused. `ip_literal` is apart because a server name may never be one (RFC 6066 section 3). */
export type HostnameProblem = "empty" | "too_long" | "bad_label" | "bad_character" | "ip_literal";

export type HostnameParse =
  | { readonly ok: true; readonly hostname: Hostname }
  | { readonly ok: false; readonly problem: HostnameProblem };

/** Longest name in octets without the trailing dot (RFC 1035 section 2.3.4, as text). */
const MAX_NAME_LENGTH = 253;
/** Longest label in octets (RFC 1035 section 2.3.4). */
const MAX_LABEL_LENGTH = 63;

/**
 * Returns the canonical form of a name as a peer or an operator wrote it: one trailing dot is stripped and ASCII letters are
 * lowered. Only `[a-z0-9_-.]` passes (RFC 1123 section 2.1, with the underscore that real names carry), so two different
 * inputs can't collide by dropped bytes. Never throws.
 */
export function parseHostname(raw: string): HostnameParse {
  const name = (raw.endsWith(".") ? raw.slice(0, -1) : raw).toLowerCase();
  if (name === "") return { ok: false, problem: "empty" };
  if (name.length > MAX_NAME_LENGTH) return { ok: false, problem: "too_long" };
  if (isIPv4(name) || (name.includes(":") && isIPv6(name))) return { ok: false, problem: "ip_literal" };
  // toLowerCase folds a few non-ASCII letters into ASCII (U+212A, the Kelvin sign), hence the test on the raw text.
  if (!/^[A-Za-z0-9_.-]+$/.test(raw)) return { ok: false, problem: "bad_character" };
  const labels = name.split(".");
  if (labels.some((label) => label === "" || label.length > MAX_LABEL_LENGTH)) {
    return { ok: false, problem: "bad_label" };
  }
  // A last label of digits makes every URL parser read the name as an IPv4 address (WHATWG URL, "ends in a number").
  if (/^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "")) return { ok: false, problem: "ip_literal" };
  return { ok: true, hostname: name as Hostname };
}

/** Returns the names a route may be filed under, best match first: exact, one-label wildcard, default. */
export function routeNames(hostname: Hostname): readonly string[] {
  const dot = hostname.indexOf(".");
  return dot === -1 ? [hostname, "*"] : [hostname, `*${hostname.slice(dot)}`, "*"];
}
