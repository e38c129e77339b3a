import { hash } from "node:crypto";
import type { Hostname } from "./hostname.ts";

/** Prefix of every route key; the dispatcher tracks it as a whole. */
export const ROUTE_PREFIX = "route:";

/** Key of a route: a hostname, `*.parent` or `*`. Written by operators and the command line only. */
export function routeKey(name: string): string {
  return ROUTE_PREFIX + name;
}

/** Prefix of every host config. */
export const HOST_CONFIG_PREFIX = "proxy:";

/** Key of a host config (JSON). Written by operators and the command line only. */
export function hostConfigKey(hostname: Hostname): string {
  return HOST_CONFIG_PREFIX + hostname;
}

/** Key of the ports that hosts were given (hash: port, then `hostname milliseconds`). Written by the command line only. */
export const PORT_CLAIMS_KEY = "host:ports";

/** Prefix of every stored certificate. */
export const CERTIFICATE_PREFIX = "cert:";

/** Key of a stored certificate (JSON; the private key in it is sealed under this key's name). */
export function certificateKey(hostname: Hostname): string {
  return CERTIFICATE_PREFIX + hostname;
}

/** Key of a hostname's account at an authority (JSON, sealed as a whole), by the URL of its directory. */
export function acmeAccountKey(hostname: Hostname, directoryUrl: string): string {
  return `acme:account:${hostname}:${hash("sha256", directoryUrl, "base64url")}`;
}

/** Key held by the one process that orders a certificate for a hostname: its random token. */
export function acmeLockKey(hostname: Hostname): string {
  return `acme:lock:${hostname}`;
}

/** Key of what failed since the last certificate of a hostname (JSON). */
export function acmeAttemptsKey(hostname: Hostname): string {
  return `acme:attempts:${hostname}`;
}

/** Key of an operator's request to renew a hostname's certificate now (JSON, `RenewalRequest`). Written by the command line. */
export function acmeRenewalRequestKey(hostname: Hostname): string {
  return `acme:renew:${hostname}`;
}

/** Key of the challenge that a hostname's authority is about to look for (JSON, `AcmeChallenge`). */
export function acmeChallengeKey(hostname: Hostname): string {
  return `acme:challenge:${hostname}`;
}

/** Prefix of everything OAuth; each record below holds its hostname and is refused on any other. */
export const OAUTH_PREFIX = "oauth:";
/** Prefix of the access-token records; the protected resource tracks it as a whole. */
export const TOKEN_PREFIX = "oauth:token:";
/** Prefix of the client records; the protected resource tracks it as a whole, because tokens end with their client. */
export const CLIENT_PREFIX = "oauth:client:";

/** Prefix of the grants. */
export const GRANT_PREFIX = "oauth:grant:";

/**
 * Returns what a bearer value (code, refresh token, secret, cookie) is stored under: its SHA-256 in base64url. The values have
 * 128 random bits or more, so neither salt nor stretching would add anything.
 */
export function bearerHash(value: string): string {
  return hash("sha256", value, "base64url");
}

/** Key of a registered client (JSON, `ClientRecord`). */
export function clientKey(clientId: string): string {
  return CLIENT_PREFIX + clientId;
}

/** Key of an access token (JSON, `TokenRecord`), by its `jti`; never the token. */
export function tokenKey(jti: string): string {
  return TOKEN_PREFIX + jti;
}

/** Key of a hostname's signing keys (JSON, private parts sealed). */
export function signingKeyKey(hostname: Hostname): string {
  return `oauth:key:${hostname}`;
}

/** Key of an authorization code (JSON), by the code. */
export function codeKey(code: string): string {
  return `oauth:code:${bearerHash(code)}`;
}

/** Key of a refresh token (JSON), by the token. */
export function refreshTokenKey(refreshToken: string): string {
  return `oauth:refresh:${bearerHash(refreshToken)}`;
}

/** Key of a grant (JSON): what one account gave one client. The id is no bearer value. */
export function grantKey(grantId: string): string {
  return GRANT_PREFIX + grantId;
}

/** Key of who stands behind a grant (JSON, `GrantIdentity`); lives as long as the grant. */
export function grantIdentityKey(grantId: string): string {
  return `oauth:identity:${grantId}`;
}

/** Key of the sorted set of the Redis keys that end with a grant, by their own end (unix seconds). */
export function grantMembersKey(grantId: string): string {
  return `oauth:grant-members:${grantId}`;
}

/** Prefix of the lists of a client's grants. */
export const CLIENT_GRANTS_PREFIX = "oauth:client-grants:";

/** Key of the sorted set of a client's grant ids on one hostname, by their end (unix seconds). */
export function clientGrantsKey(hostname: Hostname, clientId: string): string {
  return `${CLIENT_GRANTS_PREFIX}${hostname}:${clientId}`;
}

/** Key of a started authorization (JSON, sealed), by the engine's id, which is also the value of a cookie. */
export function interactionKey(uid: string): string {
  return `oauth:interaction:${bearerHash(uid)}`;
}

/** Key of a login on its way to the identity provider (JSON), by the `state` it was sent with. */
export function loginKey(state: string): string {
  return `oauth:login:${bearerHash(state)}`;
}

/** Key of the account id a listed login is pinned to (JSON). Logins compare without case. */
export function pinKey(hostname: Hostname, login: string): string {
  return `oauth:pin:${hostname}:${login.toLowerCase()}`;
}

/** Key of the user an MCP session belongs to (JSON), by the session id as the upstream made it. */
export function mcpSessionKey(hostname: Hostname, sessionId: string): string {
  return `oauth:mcp-session:${bearerHash(`${hostname} ${sessionId}`)}`;
}

/** Key that remembers a client assertion until it ends (RFC 7523 section 3), by the engine's hash of issuer and `jti`. */
export function assertionKey(hostname: Hostname, id: string): string {
  return `oauth:assertion:${hostname}:${id}`;
}

/** Key of the counter of a hostname's registrations in one minute. */
export function registrationCountKey(hostname: Hostname, minute: number): string {
  return `oauth:registrations:${hostname}:${minute}`;
}

/** Key of the sorted set of the segments that the traffic record is kept in, by their number. */
export const SEGMENTS_KEY = "log:segments";

/** Key of what is known of a segment (hash). The braces put all keys of a segment on one server of a Cluster. */
export function recordMetaKey(segment: number): string {
  return `log:{${segment}}:meta`;
}

/** Key of a segment's records (list), in the order in which they were stored. */
export function recordListKey(segment: number): string {
  return `log:{${segment}}:records`;
}

/** Key of one column of a segment's index (string of fixed-width cells, one a record). */
export function recordColumnKey(segment: number, column: string): string {
  return `log:{${segment}}:column:${column}`;
}
