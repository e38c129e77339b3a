import { bySpelling } from "./by-spelling.ts";
import {
  appendIdentityHeaders,
  foldedName,
  isReservedName,
  type ForwardContext,
} from "./identity-headers.ts";
import { isHopByHop, nominatedNames, withoutFields, withoutNames } from "./hop-by-hop.ts";
import { claimedIssuer } from "./oauth/signed-token.ts";
import { ownOrigin } from "./request-context.ts";
import type { NextTrace } from "./trace-context.ts";

/** The inbound fields that decide something here, and those that travel on. Built in one pass over the raw headers. */
export interface RequestFields {
  /** Flat name-value list that may travel on, in the peer's order and letter case. */
  readonly passed: string[];
  readonly contentLength: number | undefined;
  readonly isChunked: boolean;
  /** All Origin values, joined by a comma when there are several: such a text is no origin. */
  readonly origin: string | undefined;
  readonly contentType: string | undefined;
  readonly mcpMethod: string | undefined;
  readonly mcpName: string | undefined;
  readonly traceparent: string | undefined;
  readonly tracestate: readonly string[];
  /** Some Authorization is a bearer token that may be a JWT. */
  readonly hasJwt: boolean;
}

const AUTHORIZATION = "authorization";
const BEARER_JWT = /^bearer[ \t]+eyJ/i;

type FieldKind = keyof typeof READERS | "pass" | "drop";

interface Reading {
  passed: string[];
  contentLength: number | undefined;
  isChunked: boolean;
  origin: string | undefined;
  contentType: string | undefined;
  mcpMethod: string | undefined;
  mcpName: string | undefined;
  traceparent: string | undefined;
  tracestate: string[];
  hasJwt: boolean;
  connection: string;
  /** Where the value of the first cookie field stands in {@link Reading.passed}; 0 before there is one. */
  cookieAt: number;
}

/** What is done with a field that is more than passed or dropped, by its lower-case name. */
const READERS = {
  connection: (to: Reading, _name: string, value: string) => {
    to.connection += `,${value}`;
  },
  authorization: (to: Reading, name: string, value: string) => {
    to.hasJwt ||= BEARER_JWT.test(value);
    to.passed.push(name, value);
  },
  cookie: (to: Reading, name: string, value: string) => {
    // HTTP/2 peers may send a cookie in crumbs, which must be joined before they leave HTTP/2 (RFC 9113 section 8.2.3).
    if (to.cookieAt === 0) to.cookieAt = to.passed.push(name, value) - 1;
    else to.passed[to.cookieAt] += `; ${value}`;
  },
  "transfer-encoding": (to: Reading) => {
    to.isChunked = true;
  },
  "content-length": (to: Reading, name: string, value: string) => {
    to.contentLength = Number(value);
    to.passed.push(name, value);
  },
  "content-type": (to: Reading, name: string, value: string) => {
    to.contentType = value;
    to.passed.push(name, value);
  },
  origin: (to: Reading, name: string, value: string) => {
    to.origin = to.origin === undefined ? value : `${to.origin},${value}`;
    to.passed.push(name, value);
  },
  "mcp-method": (to: Reading, name: string, value: string) => {
    to.mcpMethod = value;
    to.passed.push(name, value);
  },
  "mcp-name": (to: Reading, name: string, value: string) => {
    to.mcpName = value;
    to.passed.push(name, value);
  },
  traceparent: (to: Reading, _name: string, value: string) => {
    // Two of them are none that can be trusted: the joined text is no traceparent.
    to.traceparent = to.traceparent === undefined ? value : `${to.traceparent},${value}`;
  },
  tracestate: (to: Reading, _name: string, value: string) => {
    to.tracestate.push(value);
  },
} as const;

/** Set anew by us or by the connection to the upstream; `expect` was answered by the server that read the request. */
const DROPPED: ReadonlySet<string> = new Set(["host", "expect", "trailer"]);

const kindOf = bySpelling(classify);

function classify(name: string): FieldKind {
  if (name.startsWith(":")) return "drop";
  const lower = name.toLowerCase();
  const folded = foldedName(name);
  if (isReservedName(folded) || folded.startsWith("proxy-")) return "drop";
  if (Object.hasOwn(READERS, folded)) {
    // `Content_Length` and its like: another spelling of a name that decides something is that name to some upstreams.
    return lower === folded ? (folded as keyof typeof READERS) : "drop";
  }
  return isHopByHop(folded) || DROPPED.has(folded) ? "drop" : "pass";
}

/** Reads the raw headers (a flat list, as Node keeps them for HTTP/1.1 and HTTP/2) once. Never throws. */
export function readRequestFields(rawHeaders: readonly string[]): RequestFields {
  const reading: Reading = {
    passed: [],
    contentLength: undefined,
    isChunked: false,
    origin: undefined,
    contentType: undefined,
    mcpMethod: undefined,
    mcpName: undefined,
    traceparent: undefined,
    tracestate: [],
    hasJwt: false,
    connection: "",
    cookieAt: 0,
  };
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? "";
    const value = rawHeaders[i + 1] ?? "";
    const kind = kindOf(name);
    if (kind === "pass") reading.passed.push(name, value);
    else if (kind !== "drop") READERS[kind](reading, name, value);
  }
  const nominated = reading.connection === "" ? undefined : nominatedNames(reading.connection);
  if (nominated !== undefined) reading.passed = withoutNames(reading.passed, nominated);
  return reading;
}

/** What a host config adds to or replaces in every request; computed once per config. */
export interface UpstreamHeaderRules {
  /** Flat name-value list of `custom_headers`, without names that are not the operator's to set. */
  readonly custom: readonly string[];
  /** {@link foldedName}s of {@link UpstreamHeaderRules.custom}: the peer's own values under them, however spelt, are dropped. */
  readonly customNames: ReadonlySet<string>;
  /** Host to send; undefined: the host as the peer named it (`preserve_host_header`). */
  readonly host: string | undefined;
}

/** Returns the flat header list for the upstream, `Host` included. Framing fields are left to the client that sends it. */
export function upstreamHeaders(
  fields: RequestFields,
  { context, trace }: { readonly context: ForwardContext; readonly trace: NextTrace },
  rules: UpstreamHeaderRules,
): string[] {
  const passed = context.passage?.requestFields(fields.passed) ?? withoutOwnToken(fields, context);
  const headers =
    rules.customNames.size === 0
      ? passed
      : withoutFields(passed, (name) => rules.customNames.has(foldedName(name)));
  headers.push("Host", rules.host ?? context.host);
  appendIdentityHeaders(headers, context, { trace, tracestate: fields.tracestate });
  for (const text of rules.custom) headers.push(text);
  return headers;
}

/**
 * On an open host Authorization is the upstream's affair, but for an access token of this very host: its client has one from when the
 * host was protected, and it is good again as soon as it is (MCP, Access Token Privilege Restriction).
 */
function withoutOwnToken({ passed, hasJwt }: RequestFields, context: ForwardContext): string[] {
  if (!hasJwt) return passed;
  const issuer = ownOrigin(context);
  return withoutFields(
    passed,
    (name, value) =>
      name.length === AUTHORIZATION.length &&
      name.toLowerCase() === AUTHORIZATION &&
      claimedIssuer(value.replace(BEARER_JWT, "eyJ").trim()) === issuer,
  );
}
