/**
 * How an exchange with the upstream failed. A closed set: the record says the word, the peer sees only a status.
 * `connect`: refused or unreachable. `timeout`: connecting or waiting for headers took too long. `tls`: the upstream could not prove
 * who it is. `reset`: the connection broke before the response was whole. `malformed`: what came is not HTTP, or too large a
 * header. `aborted_by_peer`: the peer left first.
 */
export type UpstreamErrorKind = "connect" | "timeout" | "tls" | "reset" | "malformed" | "aborted_by_peer";

/** Why an exchange was given up. `cause` is for operators; nothing of it reaches a peer. */
export class UpstreamError extends Error {
  override readonly name = "UpstreamError";
  readonly kind: UpstreamErrorKind;

  constructor(kind: UpstreamErrorKind, cause?: unknown) {
    super(`upstream: ${kind}`, { cause });
    this.kind = kind;
  }
}

const CONNECT_CODES: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EADDRNOTAVAIL",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENOENT",
  "EACCES",
  "EMFILE",
  "ENFILE",
]);
const TIMEOUT_CODES: ReadonlySet<string> = new Set([
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_BODY_TIMEOUT",
  "ECONNECT_TIMEOUT",
  "ETIMEDOUT",
]);
const RESET_CODES: ReadonlySet<string> = new Set([
  "ECONNRESET",
  "EPIPE",
  "UND_ERR_SOCKET",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "INVALID_EOF_STATE",
  "HPE_INVALID_EOF_STATE",
]);
/** OpenSSL's and Node's own words for a handshake or a certificate that failed. */
const TLS_CODE =
  /^(?:ERR_SSL_|ERR_TLS_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_CA|PATH_LENGTH|EPROTO$)/;

/** Returns the kind of an error that undici, node:http or the socket below them raised. Never throws. */
export function upstreamErrorKind(error: unknown): UpstreamErrorKind {
  if (error instanceof UpstreamError) return error.kind;
  const code = codeOf(error);
  if (CONNECT_CODES.has(code)) return "connect";
  if (TIMEOUT_CODES.has(code)) return "timeout";
  if (RESET_CODES.has(code)) return "reset";
  if (TLS_CODE.test(code)) return "tls";
  return error instanceof AggregateError ? upstreamErrorKind(error.errors[0]) : "malformed";
}

/** True when the connection broke: together with "nothing was answered yet" this is what allows a retry. */
export function isBrokenConnection(error: unknown): boolean {
  return RESET_CODES.has(codeOf(error));
}

function codeOf(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}
