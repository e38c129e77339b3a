/** Error codes of RFC 6750 section 3.1. */
type BearerError = "invalid_request" | "invalid_token" | "insufficient_scope";

export interface Challenge {
  /** Absent when no credentials were sent: whoever did not know that any were needed made no error (RFC 6750 section 3.1). */
  readonly error?: BearerError;
  /** For the developer of the client, in ASCII. */
  readonly description?: string;
  /** Everything this request needs, at once, so that a client has to step up once only. */
  readonly scopes: readonly string[];
  /** Where the resource describes itself (RFC 9728 section 5.1). */
  readonly metadataUrl: string;
}

/** Returns the value of a `WWW-Authenticate` field: one Bearer challenge, every parameter a quoted string. */
export function bearerChallenge({ error, description, scopes, metadataUrl }: Challenge): string {
  const parameters: [name: string, value: string][] = [];
  if (error !== undefined) parameters.push(["error", error]);
  if (description !== undefined) parameters.push(["error_description", description]);
  if (scopes.length > 0) parameters.push(["scope", scopes.join(" ")]);
  parameters.push(["resource_metadata", metadataUrl]);
  return `Bearer ${parameters.map(([name, value]) => `${name}=${quotedString(value)}`).join(", ")}`;
}

/**
 * A quoted-string (RFC 9110 section 5.6.4) of what RFC 6750 section 3 allows in its parameters: printable ASCII without quote and
 * backslash. Anything else becomes a question mark, so that no value can end its string, the challenge or the field.
 */
function quotedString(text: string): string {
  return `"${text.replace(/[^\u0020\u0021\u0023-\u005b\u005d-\u007e]/g, "?")}"`;
}
