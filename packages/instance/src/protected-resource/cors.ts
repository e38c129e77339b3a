import type { HostConfig } from "@gatehouse/shared/host-config";

/** Seconds a browser may keep a preflight's answer. Short, for a change of the host config shall be felt. */
const PREFLIGHT_MAX_AGE = "600";
const METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
/** What MCP clients in browsers send; a preflight's own list is allowed besides. */
const REQUEST_FIELDS = [
  "accept",
  "authorization",
  "content-type",
  "last-event-id",
  "mcp-method",
  "mcp-name",
  "mcp-protocol-version",
  "mcp-session-id",
];
const EXPOSED_FIELDS = "WWW-Authenticate, Mcp-Session-Id, Mcp-Protocol-Version, Retry-After, X-Request-Id";
const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const LOOPBACK_HOSTS: ReadonlySet<string> = new Set(["localhost", "127.0.0.1", "[::1]"]);

/** The browser origins that may call a protected host: its own always, and the list, or without one those of this machine. */
export class OriginPolicy {
  readonly #own: string;
  readonly #listed: ReadonlySet<string> | undefined;

  constructor(config: Pick<HostConfig, "allowed_origins">, own: string) {
    this.#own = own;
    this.#listed = config.allowed_origins === undefined ? undefined : new Set(config.allowed_origins);
  }

  /** `null`, which sandboxed pages and redirects send, is nobody. */
  isAllowed(origin: string): boolean {
    if (origin === this.#own) return true;
    return this.#listed === undefined ? isLoopback(origin) : this.#listed.has(origin);
  }
}

/** Returns the fields that let a page of this origin read an answer; without Origin there is no page. */
export function sharedFields(origin: string | undefined): [name: string, value: string][] {
  const vary: [string, string] = ["Vary", "Origin"];
  if (origin === undefined) return [vary];
  return [["Access-Control-Allow-Origin", origin], ["Access-Control-Expose-Headers", EXPOSED_FIELDS], vary];
}

/** Returns what a preflight is told (Fetch standard, CORS protocol); `requested` is its `Access-Control-Request-Headers`. */
export function preflightFields(requested: string | undefined): [name: string, value: string][] {
  const names = (requested ?? "").split(",").map((name) => name.trim().toLowerCase());
  // `*` would not cover Authorization, and Mcp-Param-* have any name: so the page's own names are said back to it.
  const allowed = new Set([...REQUEST_FIELDS, ...names.filter((name) => FIELD_NAME.test(name))]);
  return [
    ["Access-Control-Allow-Methods", METHODS],
    ["Access-Control-Allow-Headers", [...allowed].join(", ")],
    ["Access-Control-Max-Age", PREFLIGHT_MAX_AGE],
    ["Vary", "Access-Control-Request-Headers"],
  ];
}

/** Returns an upstream's response fields (a flat name-value list) with our answer to CORS in the place of its own. */
export function withSharedFields(fields: readonly string[], origin: string | undefined): string[] {
  const kept: string[] = [];
  let variesByOrigin = false;
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    const lower = name.toLowerCase();
    if (lower.startsWith("access-control-")) continue;
    variesByOrigin ||= lower === "vary" && /(?:^|,)[ \t]*(?:origin|\*)[ \t]*(?:,|$)/i.test(value);
    kept.push(name, value);
  }
  for (const [name, value] of sharedFields(origin)) {
    if (!(name === "Vary" && variesByOrigin)) kept.push(name, value);
  }
  return kept;
}

function isLoopback(origin: string): boolean {
  const url = URL.parse(origin);
  if (url === null || url.origin !== origin) return false;
  return (url.protocol === "http:" || url.protocol === "https:") && LOOPBACK_HOSTS.has(url.hostname);
}
