/** Error codes of the protocols spoken here, and the clause that defines each. Another word is never repeated in a record. */
const CLAUSES: ReadonlyMap<string, string> = new Map([
  ["invalid_request", "RFC 6749 5.2"],
  ["invalid_client", "RFC 6749 5.2"],
  ["invalid_grant", "RFC 6749 5.2"],
  ["unauthorized_client", "RFC 6749 5.2"],
  ["unsupported_grant_type", "RFC 6749 5.2"],
  ["invalid_scope", "RFC 6749 5.2"],
  ["unsupported_response_type", "RFC 6749 4.1.2.1"],
  ["access_denied", "RFC 6749 4.1.2.1"],
  ["server_error", "RFC 6749 4.1.2.1"],
  ["temporarily_unavailable", "RFC 6749 4.1.2.1"],
  ["invalid_token", "RFC 6750 3.1"],
  ["insufficient_scope", "RFC 6750 3.1"],
  ["unsupported_token_type", "RFC 7009 2.2.1"],
  ["invalid_redirect_uri", "RFC 7591 3.2.2"],
  ["invalid_client_metadata", "RFC 7591 3.2.2"],
  ["invalid_target", "RFC 8707 2"],
  ["login_required", "OpenID Connect Core 3.1.2.6"],
  ["request_not_supported", "OpenID Connect Core 3.1.2.6"],
  ["request_uri_not_supported", "OpenID Connect Core 3.1.2.6"],
  ["registration_not_supported", "OpenID Connect Core 3.1.2.6"],
]);

/** Returns an error code with its clause, as records name it. */
export function oauthReason(word: unknown): string {
  const clause = typeof word === "string" ? CLAUSES.get(word) : undefined;
  return clause === undefined ? "oauth_error" : `${String(word)} (${clause})`;
}
