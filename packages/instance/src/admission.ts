import type { HostConfig } from "@gatehouse/shared/host-config";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { refusal, type Refusal } from "./refusal.ts";

/** What admission looks at. */
export interface RequestHead {
  readonly method: string;
  /** The request target as sent; for HTTP/2 the `:path`. */
  readonly target: string;
  readonly isHttp2: boolean;
  /** Of the message, such as `1.1`: the peer's own word on HTTP/1, where the parser takes others as well. */
  readonly version: string;
  /** `:scheme`; undefined for HTTP/1.1. */
  readonly scheme: string | undefined;
  /** Names and values in turn, as Node's `rawHeaders`: the parsed form keeps only the first Host. */
  readonly rawHeaders: readonly string[];
  /** SNI of the connection; undefined when the peer sent none. */
  readonly serverName: string | undefined;
}

/** `host` is as the peer named it; `target` is in origin-form, or `*`. */
export type Admission =
  | { readonly ok: true; readonly host: string; readonly target: string }
  | { readonly ok: false; readonly refusal: Refusal };

/** https only: a target that names another scheme was meant for another origin. */
const ABSOLUTE_FORM = /^https:\/\/([^/?#]*)(.*)$/i;
/** Host = uri-host [ ":" port ] (RFC 9110 section 7.2), as far as it can be ours; brackets for the sake of the right status. */
const HOST = /^([A-Za-z0-9._~%!$&'()*+;=-]+|\[[0-9A-Fa-f:.]+\])(?::(\d*))?$/;

/**
 * Decides whether a request is for this hostname at all: server name, Host or `:authority` and target must name it, once (400) and
 * no other (421, RFC 9110 section 15.5.20). Pure. No URL is ever built from what the peer wrote here.
 */
export class HostAdmission {
  readonly #hostname: Hostname;
  readonly #publicPort: number;
  /** The spellings that nearly every request uses. */
  readonly #usual: ReadonlySet<string>;

  constructor(hostname: Hostname, publicPort: number) {
    this.#hostname = hostname;
    this.#publicPort = publicPort;
    this.#usual = new Set(publicPort === 443 ? [hostname, `${hostname}:443`] : [`${hostname}:${publicPort}`]);
  }

  admit(head: RequestHead): Admission {
    if (head.serverName !== undefined && !this.#isOurName(head.serverName)) {
      return refused("misdirected", "the handshake was for another name");
    }
    const framing = head.isHttp2 ? undefined : framingProblem(head);
    if (framing !== undefined) return { ok: false, refusal: framing };
    const host = soleHost(head);
    if (typeof host !== "string") return { ok: false, refusal: host };
    const problem = this.#hostProblem(host);
    if (problem !== undefined) return { ok: false, refusal: problem };
    if (!isForwarded(head.method)) {
      return refused("method_not_allowed", `${head.method} is not forwarded`);
    }
    if (head.scheme !== undefined && head.scheme !== "https") {
      return refused("misdirected", "the scheme is not https");
    }
    return this.#admitTarget(head, host);
  }

  #admitTarget({ method, target, isHttp2 }: RequestHead, host: string): Admission {
    if (target.startsWith("/")) return admitPath(host, target);
    if (target === "*" && method === "OPTIONS") return { ok: true, host, target };
    const absolute = isHttp2 ? null : ABSOLUTE_FORM.exec(target);
    if (!absolute) return refused("bad_target", "the target is neither a path nor a URL of this host");
    const [, authority = "", rest = ""] = absolute;
    // The target wins over Host (RFC 9112 section 3.2.2); as both have to name this host, neither has to.
    const problem = this.#hostProblem(authority);
    if (problem !== undefined) return { ok: false, refusal: problem };
    // An empty path with OPTIONS means the server as a whole (RFC 9112 section 3.2.4).
    if (rest === "" && method === "OPTIONS") return { ok: true, host: authority, target: "*" };
    return admitPath(authority, rest.startsWith("/") ? rest : `/${rest}`);
  }

  /** The public port must be named, unless it is the scheme's own. */
  #hostProblem(host: string): Refusal | undefined {
    if (this.#usual.has(host)) return undefined;
    const match = HOST.exec(host);
    if (!match) return refusal("bad_host", "Host is malformed");
    const [, name = "", port = ""] = match;
    const isPort = Number(port === "" ? 443 : port) === this.#publicPort;
    return isPort && this.#isOurName(name)
      ? undefined
      : refusal("misdirected", "Host names another host or port");
  }

  #isOurName(name: string): boolean {
    if (name === this.#hostname) return true;
    const parsed = parseHostname(name);
    return parsed.ok && parsed.hostname === this.#hostname;
  }
}

/** Whether the protection of a host is in place under its present config; the problem is for operators. */
export type Readiness = { readonly ok: true } | { readonly ok: false; readonly problem: string };

/**
 * Why this host answers nothing but refusals just now, if so. This is the one place that keeps a protected host shut as long as
 * its authorization is not in place: `auth_enabled` must never come to mean "open".
 */
export function hostRefusal(config: HostConfig | undefined, protection: Readiness): Refusal | undefined {
  if (config === undefined) return refusal("disabled", "the host config was deleted");
  if (!config.enabled) return refusal("disabled", "enabled is false");
  if (config.maintenance) return refusal("maintenance", "maintenance is true");
  if (config.auth_enabled && !protection.ok) return refusal("authorization_unavailable", protection.problem);
  return undefined;
}

/**
 * CONNECT asks for a tunnel, which a reverse proxy has no use for; TRACE would show a page the headers that we add. Methods are
 * case-sensitive (RFC 9110 section 9.1), and some frameworks fold them: `delete` would pass a rule about DELETE.
 */
function isForwarded(method: string): boolean {
  return method === method.toUpperCase() && method !== "CONNECT" && method !== "TRACE" && method !== "TRACK";
}

/**
 * What HTTP/1 lets a peer say about a message that its parser passes and nothing behind it would understand alike: another version
 * (RFC 9110 section 2.5), a transfer coding beside `chunked`, or one in a message of HTTP/1.0 (RFC 9112 section 6.1).
 */
function framingProblem({ rawHeaders, version }: RequestHead): Refusal | undefined {
  if (version !== "1.1" && version !== "1.0") return refusal("unsupported_version", "the version is not 1.1");
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    if (name.length !== 17 || name.toLowerCase() !== "transfer-encoding") continue;
    if (version === "1.0") return refusal("malformed_request", "a transfer coding in HTTP/1.0");
    const isChunked = (rawHeaders[i + 1] ?? "").toLowerCase() === "chunked";
    if (!isChunked) return refusal("unsupported_coding", "a transfer coding that is not chunked");
  }
  return undefined;
}

/** The one Host, or `:authority`; in HTTP/2 both may stand there if they say the same (RFC 9113 section 8.3.1). */
function soleHost({ rawHeaders, isHttp2 }: RequestHead): string | Refusal {
  let host: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const isAuthority = name === ":authority";
    if (!isAuthority && !(name.length === 4 && name.toLowerCase() === "host")) continue;
    const value = rawHeaders[i + 1] ?? "";
    if (host !== undefined && !(isHttp2 && host === value)) {
      return refusal("bad_host", "more than one Host");
    }
    host = value;
  }
  return host ?? refusal("bad_host", "no Host");
}

/** A backslash is no path character (RFC 3986), and a slash to every WHATWG parser behind us: two readings of one path. */
function admitPath(host: string, target: string): Admission {
  const [path = ""] = target.split("?", 1);
  return path.includes("\\") ? refused("bad_target", "a backslash in the path") : { ok: true, host, target };
}

function refused(...parts: Parameters<typeof refusal>): Admission {
  return { ok: false, refusal: refusal(...parts) };
}
