import { AsyncLocalStorage } from "node:async_hooks";
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from "node:tls";

/*
 * The server side of TLS on a socket whose first bytes were a PROXY header. Two ways were tried, both with public API only:
 *
 *  - new TLSSocket(socket, { isServer: true }): the link between the two sockets is the variable, but what a tls.Server does
 *    beyond is missing and can't be added from outside. Worst: an error after the handshake (a record that was forged) is emitted to
 *    nobody, so that a quiet stream hangs until somebody writes. Http2Session also waits for an event such a socket never has.
 *  - a tls.Server that never listens, fed by emit("connection", socket): all of that is right, but nothing links the TLSSocket
 *    it makes to the socket it was made from. The attempt travels by AsyncLocalStorage instead: Node runs the callbacks of a handshake
 *    in the context in which it was begun.
 *
 * The second is taken; a test runs many handshakes at once and holds each to its own peer. For acme-tls/1 (a later issue)
 * `ALPNProtocols` becomes `ALPNCallback`.
 */

/** What every secure context of an instance has in common: TLS 1.2 and 1.3, no renegotiation (a peer could make us sign for ever). */
export const TLS_OPTIONS = {
  minVersion: "TLSv1.2",
  honorCipherOrder: true,
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
  /** Seconds a session ticket is good for. */
  sessionTimeout: 7200,
  /** Node's default is a hash of the command line: a new version in another folder would not know the tickets of the old one. */
  sessionIdContext: "gatehouse",
} satisfies SecureContextOptions;

/** Ours first: HTTP/2 where the peer can. */
const ALPN_PROTOCOLS = ["h2", "http/1.1"];

export type TlsAccepted =
  | { readonly ok: true; readonly socket: TLSSocket }
  /** A word for the record: OpenSSL's, `peer_closed` or `handshake_timeout`. */
  | { readonly ok: false; readonly reason: string };

export interface TlsAcceptorOptions {
  /** Asked before each handshake; another object is another context. */
  readonly context: () => SecureContextOptions;
  /** Milliseconds for a handshake, absolute. Node's own limit is an idle timer. */
  readonly timeoutMs: number;
}

interface Attempt {
  secured(socket: TLSSocket): void;
  failed(error: NodeJS.ErrnoException): void;
}

/** Runs handshakes. */
export class TlsAcceptor {
  readonly #options: TlsAcceptorOptions;
  readonly #server: Server;
  readonly #attempt = new AsyncLocalStorage<Attempt>();
  #inForce: SecureContextOptions | undefined;

  constructor(options: TlsAcceptorOptions) {
    this.#options = options;
    this.#server = createServer({ ALPNProtocols: ALPN_PROTOCOLS });
    this.#server.on("secureConnection", (socket) => {
      const attempt = this.#attempt.getStore();
      // Without its attempt a connection has no peer; it must never be served under another's name.
      if (attempt) attempt.secured(socket);
      else socket.destroy();
    });
    this.#server.on("tlsClientError", (error) => this.#attempt.getStore()?.failed(error));
  }

  /**
   * Runs the handshake. The socket may hold bytes that were put back (`unshift`). Without a common protocol OpenSSL refuses
   * with its own alert; a peer that offers no ALPN is taken for HTTP/1.1. The server name is not looked at: a handshake for another
   * name completes with this host's certificate, and its requests are refused. On failure everything is destroyed. Never rejects.
   */
  accept(socket: Socket): Promise<TlsAccepted> {
    const { promise, resolve } = Promise.withResolvers<TlsAccepted>();
    const settle = (accepted: TlsAccepted): void => {
      clearTimeout(deadline);
      resolve(accepted);
      if (!accepted.ok) socket.destroy();
    };
    const deadline = setTimeout(
      () => settle({ ok: false, reason: "handshake_timeout" }),
      this.#options.timeoutMs,
    );
    const attempt: Attempt = {
      // A peer that tries to renegotiate gets here a second time; the promise is settled then.
      secured: (secured) => settle({ ok: true, socket: secured }),
      failed: (error) => settle({ ok: false, reason: reasonWord(error) }),
    };
    socket.once("close", () => resolve({ ok: false, reason: "peer_closed" }));
    this.#useContext();
    this.#attempt.run(attempt, () => this.#server.emit("connection", socket));
    return promise;
  }

  #useContext(): void {
    const context = this.#options.context();
    if (context === this.#inForce) return;
    this.#server.setSecureContext(context);
    this.#inForce = context;
  }
}

/** `ERR_SSL_NO_APPLICATION_PROTOCOL` is `no_application_protocol` in a record. */
function reasonWord({ code = "" }: NodeJS.ErrnoException): string {
  if (code === "ECONNRESET" || code === "EPIPE") return "peer_closed";
  const word = code.replace(/^ERR_(?:SSL_)?/, "").toLowerCase();
  return word.replaceAll(/[^a-z0-9]+/g, "_") || "tls_error";
}
