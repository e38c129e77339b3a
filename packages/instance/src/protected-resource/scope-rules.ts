import type { HostConfig } from "@gatehouse/shared/host-config";
import type { McpMessage } from "./message-method.ts";

/** A request as far as rules look at it without its body. */
export interface RuledRequest {
  readonly method: string;
  /** Canonical. */
  readonly path: string;
  /** True when an upstream may take the body for a JSON-RPC message even outside the endpoint. */
  readonly mayBeJson: boolean;
}

/** A rule about MCP messages. */
export interface MessageRule {
  readonly mcpMethod: string;
  /** Undefined: whatever the message names. */
  readonly name: string | undefined;
  readonly scope: string;
}

type ConfiguredRule = HostConfig["scope_rules"][number];

const TOOL_CALL = "tools/call";
/** The scope that is enough for everything (contract section 4). */
const SATISFIES_ALL = "admin";
const ORDER: readonly string[] = ["admin", "user", "mcp"];
/** Each in that order. */
const ENDPOINT_SCOPES: readonly string[] = ["mcp"];
const LOOKALIKE_SCOPES: readonly string[] = ["user", "mcp"];
const OTHER_SCOPES: readonly string[] = ["user"];

/**
 * Which scopes a request needs (contract section 4): `mcp` on the endpoint and below it, `user` elsewhere, and on top of that
 * what every matching rule names. Rules only ever add: no mistake in one opens anything. They match a path without letter case,
 * path parameters and a slash at the end, because upstreams route like that, and what merely looks like the endpoint needs both scopes.
 */
export class ScopeRules {
  readonly #endpoint: string;
  readonly #rules: readonly ConfiguredRule[];

  constructor(config: Pick<HostConfig, "resource_endpoint" | "scope_rules">) {
    this.#endpoint = config.resource_endpoint.replace(/\/$/, "");
    this.#rules = config.scope_rules;
  }

  /** True for the MCP endpoint and what lies below. */
  isEndpoint(path: string): boolean {
    return isAtOrBelow(path, this.#endpoint);
  }

  /** Scopes that the request needs whatever its body says. */
  needs(request: RuledRequest): readonly string[] {
    if (this.#rules.length === 0) return this.#baseScopes(request.path);
    const needed = new Set(this.#baseScopes(request.path));
    for (const rule of this.#rules) {
      if (!isAboutMessages(rule) && matchesRequest(rule, request)) needed.add(rule.scope);
    }
    return inOrder(needed);
  }

  /**
   * Rules about messages that apply if the body holds such a message. One without a path is about every protected path: always on
   * the endpoint, elsewhere for JSON bodies, since an upstream may serve MCP in more places than one.
   */
  messageRules(request: RuledRequest): readonly MessageRule[] {
    if (this.#rules.length === 0) return [];
    const mayBeMessage = request.mayBeJson || isAtOrBelow(loose(request.path), loose(this.#endpoint));
    return this.#rules
      .filter((rule) => isAboutMessages(rule) && matchesRequest(rule, request))
      .filter((rule) => rule.path !== undefined || mayBeMessage)
      .map((rule) => ({ mcpMethod: rule.mcp_method ?? TOOL_CALL, name: rule.tool, scope: rule.scope }));
  }

  #baseScopes(path: string): readonly string[] {
    if (isAtOrBelow(path, this.#endpoint)) return ENDPOINT_SCOPES;
    return isAtOrBelow(loose(path), loose(this.#endpoint)) ? LOOKALIKE_SCOPES : OTHER_SCOPES;
  }
}

/** The scopes that messages need by these rules, one union for a whole batch. `undefined` stands for a message that nobody can see. */
export function messageNeeds(
  rules: readonly MessageRule[],
  messages: readonly (McpMessage | undefined)[],
): readonly string[] {
  const needed = new Set<string>();
  for (const message of messages) {
    for (const rule of rules)
      if (message === undefined || matchesMessage(rule, message)) needed.add(rule.scope);
  }
  return inOrder(needed);
}

/** True when the scopes are enough; `admin` is for everything. */
export function satisfies(held: readonly string[], needed: readonly string[]): boolean {
  return held.includes(SATISFIES_ALL) || needed.every((scope) => held.includes(scope));
}

/** Returns the scopes once each, admin user mcp first. */
export function inOrder(scopes: Iterable<string>): readonly string[] {
  const all = new Set(scopes);
  return [...ORDER.filter((scope) => all.has(scope)), ...[...all].filter((scope) => !ORDER.includes(scope))];
}

/** True when a pattern, in which `*` stands for any run of characters, matches the whole text. Linear in the text for each star. */
export function matchesPattern(pattern: string, text: string): boolean {
  const [first = "", ...others] = pattern.split("*");
  const last = others.pop();
  if (last === undefined) return pattern === text;
  if (!text.startsWith(first) || text.length < first.length + last.length || !text.endsWith(last))
    return false;
  const end = text.length - last.length;
  let at = first.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found === -1 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/** True when a path is what an entry such as `/health` or `/public/*` names, letter by letter. */
export function matchesPath(entry: string, path: string): boolean {
  return entry.endsWith("/*") ? isAtOrBelow(path, entry.slice(0, -2)) : path === entry;
}

function isAboutMessages(rule: ConfiguredRule): boolean {
  return rule.mcp_method !== undefined || rule.tool !== undefined;
}

function matchesRequest(rule: ConfiguredRule, { method, path }: RuledRequest): boolean {
  // HEAD is GET without the body (RFC 9110 section 9.3.2).
  const isMethod =
    rule.methods === undefined ||
    rule.methods.includes(method) ||
    (method === "HEAD" && rule.methods.includes("GET"));
  return isMethod && (rule.path === undefined || matchesPath(loose(rule.path), loose(path)));
}

function matchesMessage(rule: MessageRule, { method, name }: McpMessage): boolean {
  if (!matchesPattern(rule.mcpMethod, method)) return false;
  // A call that names nothing readable may be a call of anything.
  return rule.name === undefined || name === undefined || matchesPattern(rule.name, name);
}

function isAtOrBelow(path: string, prefix: string): boolean {
  return path.startsWith(prefix) && (path.length === prefix.length || path[prefix.length] === "/");
}

/**
 * As upstreams may read it that route without letter case or without a slash at the end (Express), or strip path parameters (servlets,
 * RFC 3986 section 3.3).
 */
function loose(path: string): string {
  return path
    .replaceAll(/;[^/]*/g, "")
    .replace(/\/$/, "")
    .toLowerCase();
}
