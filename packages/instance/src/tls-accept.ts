import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { TLSSocket, type SecureContext, type SecureContextOptions } from "node:tls";

/*
 * The server side of TLS on a socket whose first bytes were a PROXY header. Two ways were tried, both with public API only:
 *
 *  - a tls.Server that never listens, fed by emit("connection", socket): it says nothing that links the TLSSocket it makes
 *    to the socket it was made from, so the peer's address could only travel by AsyncLocalStorage through native callbacks;
 *  - new TLSSocket(socket, { isServer: true }): the link is the variable. What a tls.Server does beyond is done below, and
 *    each is held by a test: the handshake deadline (its own is only an event that a tls.Server hears), one `secure` for one
 *    connection (a renegotiation attempt would give another), no renegotiation at all, and `secureConnect`, which Http2Session
 *    waits for. An error after the handshake shows as the end of the stream, which http and http2 both take for an abort.
 *
 * For acme-tls/1 (a later issue) `ALPNProtocols` becomes `ALPNCallback`, which may call `setKeyCert` on the socket here.
 */

/** What every secure context of an instance has in common: TLS 1.2 and 1.3, no renegotiation (a peer could make us sign for ever). */
export const TLS_OPTIONS = {
  minVersion: "TLSv1.2",
  honorCipherOrder: true,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  /** Seconds a session ticket is good for. */
  sessionTimeout: 7200,
} satisfies SecureContextOptions;

/** Ours first: HTTP/2 where the peer can. */
const ALPN_PROTOCOLS = ["h2", "http/1.1"];

export type TlsAccepted =
  | { readonly ok: true; readonly socket: TLSSocket }
  /** `reason` is a word for the record; `problem` may hold OpenSSL's own text. */
  | { readonly ok: false; readonly reason: string; readonly problem: string };

/**
 * Runs the handshake. The socket may hold bytes that were put back (`unshift`). Without a common protocol OpenSSL refuses
 * with its own alert; a peer that offers no ALPN is taken for HTTP/1.1. The server name is not looked at: a handshake for another
 * name completes with this host's certificate, and its requests are refused. On failure everything is destroyed. Never rejects.
 */
export function acceptTls(
  socket: Socket,
  { secureContext, timeoutMs }: { secureContext: SecureContext; timeoutMs: number },
): Promise<TlsAccepted> {
  const { promise, resolve } = Promise.withResolvers<TlsAccepted>();
  const secured = new TLSSocket(socket, { isServer: true, secureContext, ALPNProtocols: ALPN_PROTOCOLS });
  const fail = (reason: string, problem: string): void => {
    clearTimeout(deadline);
    resolve({ ok: false, reason, problem });
    socket.destroy();
  };
  const deadline = setTimeout(() => fail("handshake_timeout", `not done in ${timeoutMs} ms`), timeoutMs);
  // This listener stays: an error after the handshake is the HTTP servers' matter, but must never be without a listener.
  secured.on("error", (error: NodeJS.ErrnoException) => fail(reasonWord(error), error.message));
  secured.once("close", () => fail("peer_closed", "closed in the handshake"));
  secured.once("secure", () => {
    clearTimeout(deadline);
    resolve({ ok: true, socket: secured });
  });
  return promise;
}

/** `ERR_SSL_NO_APPLICATION_PROTOCOL` is `no_application_protocol` in a record. */
function reasonWord({ code = "" }: NodeJS.ErrnoException): string {
  if (code === "ECONNRESET" || code === "EPIPE") return "peer_closed";
  const word = code.replace(/^ERR_(?:SSL_)?/, "").toLowerCase();
  return word.replaceAll(/[^a-z0-9]+/g, "_") || "tls_error";
}
