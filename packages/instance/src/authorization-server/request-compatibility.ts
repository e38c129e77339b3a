import type { HostConfig } from "@gatehouse/shared/host-config";
import { canonicalResource } from "../oauth/resource.ts";
import { REQUESTED_SCOPE } from "./protocol.ts";

/** What a request is read against. */
export interface HostView {
  readonly origin: string;
  readonly config: HostConfig;
}

/** Parameters of an authorization request that mean something here; others are ignored (RFC 6749 section 3.1). */
const AUTHORIZATION_PARAMETERS: ReadonlySet<string> = new Set([
  "response_type",
  "client_id",
  "redirect_uri",
  "state",
  "code_challenge",
  "code_challenge_method",
  // Not supported, and refused by the engine with the right words: ignoring them would drop the request they carry.
  "request",
  "request_uri",
]);

/**
 * Returns the authorization request as the engine shall see it. Scopes are given by the host config and not by the request, so
 * every scope of the host is asked for and the grant decides; what the client asked for travels beside it, for hosts with
 * `scope_assignment: requested`. Resources are canonical. Consent is asked anyway, so of `prompt` only `none` says anything new.
 */
export function authorizationRequest(query: URLSearchParams, host: HostView): URLSearchParams {
  const rewritten = new URLSearchParams();
  for (const [name, value] of query) {
    if (AUTHORIZATION_PARAMETERS.has(name) && value !== "") rewritten.append(name, value);
  }
  const mode = query.get("response_mode") ?? "";
  // The engine would answer by an unknown mode's own means, a page with a script for one; `none` it refuses in the query.
  if (mode !== "") rewritten.set("response_mode", mode === "query" ? mode : "none");
  if (query.get("prompt")?.split(" ").includes("none")) rewritten.set("prompt", "none");
  for (const resource of canonicalResources(query, host)) rewritten.append("resource", resource);
  rewritten.set("scope", host.config.auth_allowed_scopes.join(" "));
  for (const name of ["scope", "response_mode", "prompt"]) keepRepeated(name, query, rewritten);
  const requested = knownScopes(query.get("scope"), host);
  if (requested !== undefined) rewritten.set(REQUESTED_SCOPE, requested);
  return rewritten;
}

/** Returns the form of a token request as the engine shall see it; parameters that came twice still come twice. */
export function tokenRequest(form: URLSearchParams, host: HostView): URLSearchParams {
  const rewritten = new URLSearchParams();
  for (const [name, value] of form) {
    if (name !== "resource" && name !== "scope" && value !== "") rewritten.append(name, value);
  }
  for (const resource of canonicalResources(form, host)) rewritten.append("resource", resource);
  // Clients repeat `openid profile email` here; scopes this host does not know neither widen nor fail a refresh.
  const scope = knownScopes(form.get("scope"), host);
  if (scope !== undefined) rewritten.set("scope", scope);
  keepRepeated("scope", form, rewritten);
  return rewritten;
}

/** A parameter that came twice is refused by the engine (RFC 6749 section 3.1), so it must still be there twice. */
function keepRepeated(name: string, from: URLSearchParams, to: URLSearchParams): void {
  const values = from.getAll(name);
  if (values.length < 2) return;
  to.delete(name);
  for (const value of values) to.append(name, value);
}

/** One that is none of ours stays as it came, for the engine to refuse with `invalid_target`. */
function canonicalResources(parameters: URLSearchParams, { origin, config }: HostView): ReadonlySet<string> {
  const host = { origin, endpoint: config.resource_endpoint };
  const given = parameters.getAll("resource").filter((resource) => resource !== "");
  return new Set(given.map((resource) => canonicalResource(resource, host) ?? resource));
}

function knownScopes(scope: string | null, { config }: HostView): string | undefined {
  const asked = new Set((scope ?? "").split(" "));
  const known = config.auth_allowed_scopes.filter((name) => asked.has(name));
  return known.length === 0 ? undefined : known.join(" ");
}
