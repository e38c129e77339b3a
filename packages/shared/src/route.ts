import { isIPv4, isIPv6 } from "node:net";
import { parseHostname } from "./hostname.ts";
import { wrongTypeOf } from "./stored-text.ts";

/** Where one connection may be sent. `host` is an IPv4 or IPv6 address without brackets, or a hostname resolved at each dial. */
export type Target =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** PROXY header version sent to the targets; `off` sends none (foreign TLS servers). */
export type ProxyMode = "v2" | "v1" | "off";

/** The value of `route:{hostname}`, parsed. Several targets: least connections with failover. */
export interface Route {
  readonly targets: readonly Target[];
  readonly proxy: ProxyMode;
}

export type RouteParse =
  | { readonly ok: true; readonly route: Route }
  | { readonly ok: false; readonly problem: string };

/** More targets than this in one value is taken for a mistake; it bounds what one route may cost per dial. */
const MAX_TARGETS = 64;

/**
 * Reads a route value such as `13001`, `10.0.0.7:13001`, `[fd00::7]:13001`, `name.internal:13001`,
 * `unix:/run/gatehouse/name.sock`, comma separated, with an optional `;proxy=v2|v1|off`.
 * The problem is a sentence for the operator; it quotes the value, which is never a secret. Never throws.
 */
export function parseRoute(value: string): RouteParse {
  const wrong = wrongTypeOf(value);
  if (wrong) return bad(`it is ${wrong.type}, not a string`);
  const [list = "", ...options] = value.split(";");
  let proxy: ProxyMode = "v2";
  for (const option of options) {
    const match = /^proxy=(v2|v1|off)$/.exec(option.trim());
    if (!match) return bad(`option ${quote(option.trim())} is not proxy=v2, proxy=v1 or proxy=off`);
    proxy = match[1] as ProxyMode;
  }
  const parts = list.split(",").map((part) => part.trim());
  if (parts.length > MAX_TARGETS) return bad(`${parts.length} targets, at most ${MAX_TARGETS} are allowed`);
  const targets: Target[] = [];
  for (const part of parts) {
    const target = parseTarget(part);
    if (typeof target === "string") return bad(target);
    targets.push(target);
  }
  return { ok: true, route: { targets, proxy } };
}

/** A target's text is asked for with every connection to it. */
const TEXTS = new WeakMap<Target, string>();

/** Returns the target as an operator writes it; equal targets give equal text. */
export function formatTarget(target: Target): string {
  const known = TEXTS.get(target);
  if (known !== undefined) return known;
  const text = textOf(target);
  TEXTS.set(target, text);
  return text;
}

function textOf(target: Target): string {
  if (target.kind === "unix") return `unix:${target.path}`;
  return isIPv6(target.host) ? `[${target.host}]:${target.port}` : `${target.host}:${target.port}`;
}

function parseTarget(text: string): Target | string {
  if (text === "") return "a target is empty";
  if (text.startsWith("unix:")) return parseUnixTarget(text);
  if (/^\d+$/.test(text)) return tcpTarget(text, { host: "127.0.0.1", port: text });
  const match = /^(?:\[([^\]]*)\]|([^:[\]]+)):(\d+)$/.exec(text);
  if (!match)
    return `target ${quote(text)} is not a port, address:port, [ipv6]:port, name:port or unix:/path`;
  const [, ipv6, name = "", port = ""] = match;
  if (ipv6 === undefined) return parseNamedTarget(text, { name, port });
  return isIPv6(ipv6) && !ipv6.includes("%")
    ? tcpTarget(text, { host: ipv6, port })
    : `target ${quote(text)}: not an IPv6 address in brackets`;
}

function parseNamedTarget(text: string, { name, port }: { name: string; port: string }): Target | string {
  if (isIPv4(name)) return tcpTarget(text, { host: name, port });
  const parsed = parseHostname(name);
  if (!parsed.ok)
    return `target ${quote(text)}: the host is not an address or a hostname (${parsed.problem})`;
  // `UNIX:1` would be written back as `unix:1`, which is a socket's name.
  if (parsed.hostname === "unix") return `target ${quote(text)}: a unix socket is written unix:/path`;
  return tcpTarget(text, { host: parsed.hostname, port });
}

function parseUnixTarget(text: string): Target | string {
  const path = text.slice("unix:".length);
  if (!path.startsWith("/")) return `target ${quote(text)}: a unix socket needs an absolute path`;
  if (path.includes("\0")) return `target ${quote(text)}: a unix socket path holds no NUL`;
  return { kind: "unix", path };
}

function tcpTarget(text: string, parts: { host: string; port: string }): Target | string {
  const port = Number(parts.port);
  return port >= 1 && port <= 65_535
    ? { kind: "tcp", host: parts.host, port }
    : `target ${quote(text)}: the port must be between 1 and 65535`;
}

function bad(problem: string): RouteParse {
  return { ok: false, problem };
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 120));
}
