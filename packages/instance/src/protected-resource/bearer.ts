/** What a request shows as its credentials. */
export type BearerRead =
  | { readonly kind: "token"; readonly token: string }
  /** None, or of a scheme that is not taken here: RFC 6750 section 3.1 treats both alike. */
  | { readonly kind: "missing" }
  | { readonly kind: "malformed"; readonly problem: string };

/** credentials = "Bearer" 1*SP b64token (RFC 6750 section 2.1); schemes know no case (RFC 9110 section 11.1). */
const CREDENTIALS = /^bearer +([A-Za-z0-9._~+/-]+=*) *$/i;
const SCHEME = /^bearer(?: |$)/i;

/**
 * Reads the one access token of a request: from the `Authorization` field only, all of whose values are given, as Node's parsed
 * headers would hide a second one. A token in the query is never taken (RFC 9700 section 4.3.2), and beside a token in the field
 * it is an error, as are two fields (RFC 6750 section 3.1). Pure; the token goes nowhere but into the answer.
 */
export function readBearer(authorization: readonly string[], query: string): BearerRead {
  const [credentials] = authorization;
  if (credentials === undefined) return { kind: "missing" };
  if (authorization.length > 1) return { kind: "malformed", problem: "more than one Authorization field" };
  if (!SCHEME.test(credentials)) return { kind: "missing" };
  const [, token] = CREDENTIALS.exec(credentials) ?? [];
  if (token === undefined) return { kind: "malformed", problem: "no token behind Bearer" };
  if (query !== "" && new URLSearchParams(query).has("access_token")) {
    return { kind: "malformed", problem: "a second token in the query" };
  }
  return { kind: "token", token };
}
