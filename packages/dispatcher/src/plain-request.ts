import type { IncomingMessage } from "node:http";
import { isChallengeToken } from "@gatehouse/shared/acme-challenge";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";

/** What a request on the plain port asks for; undefined when it is nothing that is answered there. */
export interface PlainRequest {
  readonly hostname: Hostname;
  /** In origin form, query included (RFC 9112 section 3.2.1). */
  readonly target: string;
  /** The token of an HTTP-01 challenge that is looked for (RFC 8555 section 8.3). */
  readonly token: string | undefined;
}

const CHALLENGE_PREFIX = "/.well-known/acme-challenge/";
/** What goes into a Location as it came. */
const VISIBLE_TARGET = /^\/[\x21-\x7e]*$/;
const PORT = /:\d{0,5}$/;

/**
 * Reads the little of a request that its answer depends on. One Host that names a host, and a path: an address, an absolute form or a
 * second Host is nothing a browser or an authority sends here.
 */
export function readPlainRequest(request: IncomingMessage): PlainRequest | undefined {
  const [host, ...others] = request.headersDistinct["host"] ?? [];
  const target = request.url ?? "";
  if (host === undefined || others.length > 0 || !VISIBLE_TARGET.test(target)) return undefined;
  const parsed = parseHostname(host.replace(PORT, ""));
  if (!parsed.ok) return undefined;
  const isRead = request.method === "GET" || request.method === "HEAD";
  const token = isRead && target.startsWith(CHALLENGE_PREFIX) ? target.slice(CHALLENGE_PREFIX.length) : "";
  return {
    hostname: parsed.hostname,
    target,
    token: isChallengeToken(token) ? token : undefined,
  };
}
