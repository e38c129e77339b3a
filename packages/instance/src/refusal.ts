import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { discard } from "./request-body.ts";

export type Request = IncomingMessage | Http2ServerRequest;
export type Response = ServerResponse | Http2ServerResponse;

/** Why a request is answered here and not by the upstream. A closed set: the word stands in the record, and each has one status. */
const STATUS = {
  malformed_request: 400,
  bad_target: 400,
  bad_host: 400,
  disabled: 404,
  method_not_allowed: 405,
  request_timeout: 408,
  expectation_failed: 417,
  misdirected: 421,
  header_too_large: 431,
  internal_error: 500,
  unsupported_coding: 501,
  maintenance: 503,
  authorization_unavailable: 503,
  unsupported_version: 505,
} as const;

export type RefusalReason = keyof typeof STATUS;

/** A refusal on its way to the peer. `problem` is for operators only. */
export interface Refusal {
  readonly reason: RefusalReason;
  readonly status: number;
  readonly problem: string;
}

/** Seconds a peer is asked to wait before it comes back after a 503. */
const RETRY_AFTER_SECONDS = 30;
/** Methods RFC 9110 names that are answered here (section 15.5.6 wants the list). */
const ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

export function refusal(reason: RefusalReason, problem: string): Refusal {
  return { reason, status: STATUS[reason], problem };
}

/** After these nobody can be sure where the next request begins: the connection ends (RFC 9112 section 6.1). */
export const ENDS_CONNECTION: ReadonlySet<RefusalReason> = new Set([
  "malformed_request",
  "unsupported_coding",
  "unsupported_version",
]);

/** Sends the refusal as the whole response; a body that still comes is read and dropped, so that the peer gets to read the answer. */
export function refuse(request: Request, response: Response, refused: Refusal): void {
  const body = refusalBody(refused);
  for (const [name, value] of Object.entries(refusalHeaders(refused, body))) response.setHeader(name, value);
  if (!("stream" in request) && ENDS_CONNECTION.has(refused.reason))
    response.setHeader("connection", "close");
  response.statusCode = refused.status;
  response.end(request.method === "HEAD" ? "" : body);
  discard(request);
}

/** The same for a connection that Node has taken out of HTTP (upgrade, CONNECT, a header that can't be read). */
export function refusalBytes(refused: Refusal): string {
  const body = refusalBody(refused);
  const headers = Object.entries({ ...refusalHeaders(refused, body), connection: "close" });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `HTTP/1.1 ${refused.status} ${STATUS_CODES[refused.status] ?? ""}\r\n${lines}\r\n${body}`;
}

/** Nothing of the problem reaches the peer. */
function refusalBody({ reason }: Refusal): string {
  return `${JSON.stringify({ error: reason })}\n`;
}

function refusalHeaders({ reason, status }: Refusal, body: string): Record<string, string> {
  return {
    "content-type": "application/json",
    "content-length": String(Buffer.byteLength(body)),
    "cache-control": "no-store",
    ...(status === 503 ? { "retry-after": String(RETRY_AFTER_SECONDS) } : {}),
    ...(reason === "method_not_allowed" ? { allow: ALLOWED_METHODS } : {}),
  };
}
