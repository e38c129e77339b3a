import { AsyncLocalStorage } from "node:async_hooks";
import { constants } from "node:crypto";
import type { Socket } from "node:net";
import {
  createServer,
  type SecureContext,
  type SecureContextOptions,
  type Server,
  type TLSSocket,
} from "node:tls";
import { ACME_TLS_PROTOCOL } from "./acme/challenge-certificate.ts";

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
 * The second is taken; a test runs many handshakes at once and holds each to its own peer.
 *
 * ALPNCallback and not ALPNProtocols, because a hello of acme-tls/1 (RFC 8737) gets another certificate, and SNICallback does not see
 * the protocol.
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
  /** An authority has seen its challenge answered; the connection is over (RFC 8737 section 3). */
  | { readonly ok: "challenge" }
  /** A word for the record: OpenSSL's, `peer_closed` or `handshake_timeout`. */
  | { readonly ok: false; readonly reason: string };

export interface TlsAcceptorOptions {
  /** Asked before each handshake; another object is another context. */
  readonly context: () => SecureContextOptions;
  /** The certificate for a hello of `acme-tls/1` with that server name; undefined when no challenge is pending. */
  readonly challenge: (serverName: string | false) => SecureContext | undefined;
  /** Milliseconds for a handshake, absolute. Node's own limit is an idle timer. */
  readonly timeoutMs: number;
}

export interface AcceptOptions {
  /** Completes for an authority's check of the hostname only. Default false. */
  readonly isChallengeOnly?: boolean;
}

interface Attempt {
  readonly isChallengeOnly: boolean;
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
    const choose = (socket: TLSSocket, hello: AlpnHello): string | undefined => this.#choose(socket, hello);
    this.#server = createServer({
      // Node calls it with the socket as `this`.
      ALPNCallback(this: TLSSocket, hello: AlpnHello) {
        return choose(this, hello);
      },
    });
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
  accept(socket: Socket, { isChallengeOnly = false }: AcceptOptions = {}): Promise<TlsAccepted> {
    const { promise, resolve } = Promise.withResolvers<TlsAccepted>();
    const settle = (accepted: TlsAccepted): void => {
      clearTimeout(deadline);
      resolve(accepted);
      if (accepted.ok === false) socket.destroy();
    };
    const deadline = setTimeout(
      () => settle({ ok: false, reason: "handshake_timeout" }),
      this.#options.timeoutMs,
    );
    const attempt: Attempt = {
      isChallengeOnly,
      // A peer that tries to renegotiate gets here a second time; the promise is settled then.
      secured: (secured) => settle(served(secured, isChallengeOnly)),
      failed: (error) => settle({ ok: false, reason: reasonWord(error) }),
    };
    socket.once("close", () => resolve({ ok: false, reason: "peer_closed" }));
    this.#useContext();
    this.#attempt.run(attempt, () => this.#server.emit("connection", socket));
    return promise;
  }

  /** Undefined is answered with the alert `no_application_protocol`. */
  #choose(socket: TLSSocket, { servername, protocols }: AlpnHello): string | undefined {
    const [first, ...others] = protocols;
    // An authority offers this protocol and no other (RFC 8737 section 3).
    if (first === ACME_TLS_PROTOCOL && others.length === 0) {
      const context = this.#options.challenge(servername);
      if (context === undefined) return undefined;
      socket.setKeyCert(context);
      return ACME_TLS_PROTOCOL;
    }
    if (this.#attempt.getStore()?.isChallengeOnly !== false) return undefined;
    return ALPN_PROTOCOLS.find((protocol) => protocols.includes(protocol));
  }

  #useContext(): void {
    const context = this.#options.context();
    if (context === this.#inForce) return;
    this.#server.setSecureContext(context);
    this.#inForce = context;
  }
}

interface AlpnHello {
  /** False when the hello has none, whatever Node's types say. */
  readonly servername: string | false;
  readonly protocols: string[];
}

/** A challenge's connection carries nothing; and without ALPN nobody was asked whether it was one. */
function served(socket: TLSSocket, isChallengeOnly: boolean): TlsAccepted {
  if (socket.alpnProtocol === ACME_TLS_PROTOCOL) {
    socket.on("error", () => {}).end();
    return { ok: "challenge" };
  }
  return isChallengeOnly ? { ok: false, reason: "address_not_allowed" } : { ok: true, socket };
}

/** `ERR_SSL_NO_APPLICATION_PROTOCOL` is `no_application_protocol` in a record. */
function reasonWord({ code = "" }: NodeJS.ErrnoException): string {
  if (code === "ECONNRESET" || code === "EPIPE") return "peer_closed";
  const word = code.replace(/^ERR_(?:SSL_)?/, "").toLowerCase();
  return word.replaceAll(/[^a-z0-9]+/g, "_") || "tls_error";
}
