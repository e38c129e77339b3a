import { bySpelling } from "./by-spelling.ts";
import type { RequestContext } from "./request-context.ts";
import type { NextTrace } from "./trace-context.ts";

/** Who sent a request, as its token said. The upstream trusts these fields completely. */
export interface Identity {
  readonly login: string;
  /** The provider's immutable id, `github:583231`. */
  readonly uid: string;
  /** In the order admin, user, mcp. */
  readonly scopes: readonly string[];
  readonly email?: string;
  readonly clientId: string;
}

/** What the protected resource does to an exchange that it let through. */
export interface Passage {
  /** The request's body, when it had to be read as a whole to decide. */
  readonly body?: Buffer;
  /** Takes out of a request's fields (a flat name-value list) what was meant for this gateway. */
  requestFields(fields: readonly string[]): string[];
  /** Told the head of the response, whoever makes it; returns the fields that go to the peer. */
  responseFields(status: number, fields: readonly string[]): readonly string[];
}

/** A request's context with the identity behind it; open hosts have neither identity nor passage, excluded paths no identity. */
export interface ForwardContext extends RequestContext {
  readonly identity?: Identity;
  readonly passage?: Passage;
}

/** Names this gateway sets itself; `custom_headers` can't take their place. Lower case. */
const OURS: ReadonlySet<string> = new Set([
  "x-forwarded-for",
  "x-forwarded-proto",
  "x-forwarded-host",
  "x-request-id",
  "traceparent",
  "x-auth-user",
  "x-auth-subject",
  "x-auth-scopes",
  "x-auth-email",
  "x-auth-client",
]);

/** True for a lower-case name whose value only this gateway may decide. */
export function isOurs(name: string): boolean {
  return OURS.has(name);
}

/**
 * Returns a name in lower case with every character that is neither letter nor digit written as `-`: CGI and WSGI upstreams fold
 * `X_Auth_User` and `X-Auth-User` into one variable, so both spellings are one name here.
 */
export const foldedName = bySpelling((name) => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "-"));

/** True for a {@link foldedName} that a peer may never send through (contract section 5). */
export function isReservedName(folded: string): boolean {
  return (
    folded.startsWith("x-auth-") ||
    folded.startsWith("x-forwarded") ||
    folded.startsWith("x-internal-") ||
    folded === "forwarded" ||
    folded === "x-real-ip" ||
    folded === "x-request-id"
  );
}

/** Appends what the upstream may believe: where the request came from, its ids, and the identity if there is one. */
export function appendIdentityHeaders(
  fields: string[],
  context: ForwardContext,
  { trace, tracestate }: { readonly trace: NextTrace; readonly tracestate: readonly string[] },
): void {
  fields.push(
    "X-Forwarded-For",
    context.connection.addresses.source.ip,
    "X-Forwarded-Proto",
    "https",
    "X-Forwarded-Host",
    context.host,
    "X-Request-Id",
    context.id,
    "traceparent",
    trace.value,
  );
  if (trace.isContinued) for (const state of tracestate) fields.push("tracestate", state);
  if (context.identity !== undefined) appendIdentity(fields, context.identity);
}

function appendIdentity(fields: string[], identity: Identity): void {
  fields.push(
    "X-Auth-User",
    octets(identity.login),
    "X-Auth-Subject",
    identity.uid,
    "X-Auth-Scopes",
    identity.scopes.join(" "),
    "X-Auth-Client",
    identity.clientId,
  );
  if (identity.email !== undefined) fields.push("X-Auth-Email", octets(identity.email));
}

/** Names and addresses may hold any character, fields only octets: UTF-8 it is, as upstreams expect. */
function octets(text: string): string {
  return /^[\u0020-\u007e]*$/.test(text) ? text : Buffer.from(text.replace(CONTROLS, "")).toString("latin1");
}

const CONTROLS = /[\u0000-\u001f\u007f]/g;
