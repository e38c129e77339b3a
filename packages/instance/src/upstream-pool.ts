import { X509Certificate } from "node:crypto";
import { isIP, Socket } from "node:net";
import { createSecureContext, type SecureContext } from "node:tls";
import { buildConnector, Client, type Dispatcher } from "undici";
import type { Upstream } from "@gatehouse/shared/host-config";
import type { ForwardLimits } from "./forward-limits.ts";

/**
 * Milliseconds an idle connection is kept when the upstream names no bound itself. Below the 5 s of Node and Uvicorn, so that we close
 * first: a request that can't be retried must not meet a connection that is being closed.
 */
const IDLE_TIMEOUT_MS = 4_000;
/** Bytes of one response header. Four times Node's own default: some upstreams set many cookies. */
const MAX_RESPONSE_HEADER_BYTES = 65_536;

type Connector = ReturnType<typeof buildConnector>;

/** One connection to the upstream: carries one exchange at a time, so that no stream ever stands in another's way. */
export class UpstreamConnection {
  readonly #client: Client;
  #socket: Socket | undefined;
  #opening: Socket | undefined;
  #isReused = false;

  constructor(origin: string, connector: Connector, limits: ForwardLimits) {
    this.#client = new Client(origin, {
      pipelining: 1,
      keepAliveTimeout: IDLE_TIMEOUT_MS,
      headersTimeout: limits.upstreamHeadersTimeoutMs,
      // A quiet stream is a healthy stream: only its ends decide when it is over.
      bodyTimeout: 0,
      maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
      // The other parser is experimental and can be switched on by the environment.
      useMilo: false,
      connect: (options, callback) => {
        // SNI and certificate check follow the upstream's own name, not the Host that `preserve_host_header` may send.
        const servername = isIP(options.hostname) === 0 ? options.hostname : "";
        // The connector returns the socket it opens, though its type does not say so.
        const opening: unknown = connector({ ...options, servername }, (...result) => {
          if (result[0] === null) this.#socket = result[1];
          callback(...result);
        });
        if (opening instanceof Socket) this.#opening = opening;
      },
    });
  }

  /** True when an earlier exchange used it: the upstream may have closed it meanwhile. */
  get isReused(): boolean {
    return this.#isReused;
  }

  get isUsable(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed && this.#socket.writable;
  }

  /** True when the connection ended by an error rather than in order; a body that ends with the connection is then cut short. */
  get isBroken(): boolean {
    return this.#socket !== undefined && this.#socket.errored !== null;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(options, handler);
  }

  markReused(): void {
    this.#isReused = true;
  }

  onDisconnect(listener: () => void): void {
    this.#client.on("disconnect", listener).on("connectionError", listener);
  }

  /** Ends the connection, and what runs on it, at once. */
  destroy(reason?: Error): void {
    // The promise tells when the socket is closed; nobody waits for it, and a failure to close leaves nothing to do.
    this.#client.destroy(reason ?? null).catch(() => undefined);
    // undici lets a connection that is being opened run into its timeout.
    if (this.#socket === undefined) this.#opening?.destroy();
  }
}

/**
 * Connections to one upstream. Taking and giving back cost the same however many streams are open, unlike undici's own pool, which
 * looks at every busy connection; idle ones are used last in, first out, so that the rest can age and close.
 */
export class UpstreamPool {
  readonly #limits: ForwardLimits;
  readonly #connector: Connector;
  readonly #origin: string;
  readonly #open = new Set<UpstreamConnection>();
  readonly #idle: UpstreamConnection[] = [];
  #isClosed = false;

  /** @throws {Error} when the CA certificate can't be read. */
  constructor(upstream: Upstream, limits: ForwardLimits, caPem?: string) {
    this.#limits = limits;
    this.#origin = upstream.kind === "tcp" ? upstream.origin : "http://localhost";
    this.#connector = buildConnector({
      allowH2: false,
      timeout: limits.upstreamConnectTimeoutMs,
      ...(upstream.kind === "unix" ? { socketPath: upstream.socketPath } : {}),
      ...(caPem === undefined ? {} : { secureContext: trustOnly(caPem) }),
    });
  }

  /** Connections open or being opened. */
  get size(): number {
    return this.#open.size;
  }

  /** Returns an idle connection or a new one, undefined when the limit is reached. `isFresh`: never one that was used before. */
  acquire(isFresh = false): UpstreamConnection | undefined {
    for (let idle = isFresh ? undefined : this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (idle.isUsable) return idle;
      this.#drop(idle);
    }
    return this.#open.size < this.#limits.maxUpstreamConnections ? this.#connect() : undefined;
  }

  /** Takes a connection back after its exchange; one that can't carry another is closed. */
  release(connection: UpstreamConnection): void {
    if (this.#isClosed || !connection.isUsable) {
      // Not inside undici's own callback, which still has to settle what it keeps about the connection.
      setImmediate(() => {
        this.#drop(connection);
      });
      return;
    }
    connection.markReused();
    this.#idle.push(connection);
  }

  /** Closes idle connections now and the others when they are given back; with `isAbrupt` all of them now. */
  close(isAbrupt = false): void {
    this.#isClosed = true;
    for (const connection of this.#idle.splice(0)) this.#drop(connection);
    if (isAbrupt) for (const connection of this.#open) this.#drop(connection);
  }

  #connect(): UpstreamConnection {
    const connection = new UpstreamConnection(this.#origin, this.#connector, this.#limits);
    connection.onDisconnect(() => {
      const at = this.#idle.indexOf(connection);
      // A busy one is dropped when its exchange gives it back.
      if (at === -1) return;
      this.#idle.splice(at, 1);
      this.#drop(connection);
    });
    this.#open.add(connection);
    return connection;
  }

  #drop(connection: UpstreamConnection): void {
    if (this.#open.delete(connection)) connection.destroy();
  }
}

/** A context that trusts this authority and no other. OpenSSL skips what it can't read in a list, so it is read once before. */
function trustOnly(caPem: string): SecureContext {
  void new X509Certificate(caPem);
  return createSecureContext({ ca: caPem });
}
