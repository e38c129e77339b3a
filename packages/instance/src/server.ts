import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import type { SecureContextOptions } from "node:tls";
import { AddressList, canonicalIp, type AddressPair } from "@gatehouse/shared/address";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import { listen, type ListenAddress } from "@gatehouse/shared/listen-address";
import type { LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import type { LiveChallenge } from "./acme/live-challenge.ts";
import type { Authorization } from "./authorization.ts";
import { ConnectionRoom, Seat } from "./connection-room.ts";
import type { Protection } from "./protection.ts";
import type { Forwarder } from "./forward.ts";
import { HttpServers, type HttpLimits } from "./http-servers.ts";
import type { InstanceMetrics } from "./metrics.ts";
import { receive, UNKNOWN_IP } from "./receive.ts";
import { RequestHandler } from "./request-handler.ts";
import { TlsAcceptor } from "./tls-accept.ts";

export interface InstanceServerOptions {
  readonly hostname: Hostname;
  readonly log: RecordLog;
  readonly forwarder: Forwarder;
  readonly authorization: Pick<Authorization, "configure">;
  /** Certificate, key and ticket keys; asked before each handshake. */
  readonly tlsContext: () => SecureContextOptions;
  /** Answers an authority that checks the hostname. */
  readonly challenge: Pick<LiveChallenge, "contextFor" | "isPending">;
  readonly publicPort: number;
  /** Senders whose PROXY header is believed. */
  readonly proxyFrom: AddressList;
  /** Milliseconds for the PROXY header, and for the TLS handshake behind it. */
  readonly proxyTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  /** Connections open at once, in whatever phase. */
  readonly maxConnections: number;
  readonly http: HttpLimits;
  readonly metrics: Pick<InstanceMetrics, "countHandshake">;
}

interface Secured {
  readonly id: string;
  readonly addresses: AddressPair;
  /** The peer's address may not connect, but an authority's check may. */
  readonly isChallengeOnly: boolean;
}

/** TCP keepalive probes start after this much quiet: a peer that vanished must not hold a stream for ever. */
const KEEPALIVE_MS = 60_000;
/** What streams that were told to end get before their connections are destroyed. */
const END_GRACE_MS = 2000;
/** Milliseconds between two warnings that there is no room; the records between them are for who looks closely. */
const FULL_WARNING_MS = 1000;

/** Accepted connections in their order of life: PROXY header, TLS, HTTP. One record for each that ends before HTTP. */
export class InstanceServer {
  readonly #options: InstanceServerOptions;
  readonly #tls: TlsAcceptor;
  readonly #http: HttpServers;
  readonly #handler: RequestHandler;
  readonly #listeners: Server[] = [];
  readonly #addresses: (AddressInfo | string | null)[] = [];
  readonly #room: ConnectionRoom;
  #warnedFullAt = Number.NEGATIVE_INFINITY;
  /** Undefined: every address may connect. */
  #allowed: AddressList | undefined;
  #emptied: (() => void) | undefined;

  constructor(options: InstanceServerOptions) {
    this.#options = options;
    this.#room = new ConnectionRoom(options.maxConnections);
    this.#tls = new TlsAcceptor({
      context: options.tlsContext,
      challenge: (serverName) => options.challenge.contextFor(serverName),
      timeoutMs: options.handshakeTimeoutMs,
    });
    this.#handler = new RequestHandler(options);
    this.#http = new HttpServers(options.http, this.#handler);
  }

  /** Connections open, in whatever phase. */
  get connections(): number {
    return this.#room.open.size;
  }

  /** Requests that run, event streams among them. */
  get requests(): number {
    return this.#http.running;
  }

  /** Where connections are accepted: `null` for a unix socket that was inherited, whose path nobody tells. */
  get addresses(): readonly (AddressInfo | string | null)[] {
    return this.#addresses;
  }

  /**
   * Follows a host config from the next connection and request on; undefined when it was deleted. Streams go on unless the host no
   * longer serves.
   * @throws {Error} when the config names an authority that can't be used; the former config then stays in force
   */
  configure(config: HostConfig | undefined): void {
    if (config) this.#options.forwarder.configure(config);
    const allowed = config?.allowed_addresses && AddressList.parse(config.allowed_addresses);
    // The schema has refused lists that don't parse; an entry that slipped through must not open the host.
    this.#allowed = allowed && (allowed.ok ? allowed.list : emptyList());
    this.#handler.configure(config);
  }

  /** Protected requests are served from now on, where the host config asks for it. */
  protect(protection: Protection): void {
    this.#handler.protect(protection);
  }

  /** @throws the system's error when an address can't be bound */
  async listen(addresses: readonly ListenAddress[]): Promise<void> {
    for (const address of addresses) {
      const listener = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEPALIVE_MS });
      // Told by the listener: a connection that was reset already has no address, and would pass for one from a unix socket.
      let isUnix = false;
      listener.on("connection", (socket) => void this.#accept(socket, { isUnix }));
      await listen(listener, address);
      const bound = listener.address();
      isUnix = bound === null || typeof bound === "string";
      this.#addresses.push(bound);
      this.#listeners.push(listener);
    }
  }

  /**
   * Stops accepting, lets what runs end until the deadline, then ends streams in order, then everything. Resolves when no
   * connection is left.
   */
  async drain(deadlineMs: number): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    this.#http.drain();
    if (!(await this.#isEmptyWithin(deadlineMs))) {
      this.#options.forwarder.endStreams();
      await this.#isEmptyWithin(END_GRACE_MS);
    }
    for (const { socket } of this.#room.open) socket.destroy();
    await this.#options.forwarder.close();
    this.#http.close();
  }

  async #accept(socket: Socket, { isUnix }: { isUnix: boolean }): Promise<void> {
    const seat = new Seat(socket);
    const displaced = this.#room.enter(seat);
    if (displaced !== undefined) this.#makeRoom(displaced.socket);
    socket.once("close", () => {
      this.#room.leave(seat);
      if (this.#room.open.size === 0) this.#emptied?.();
    });
    // Each phase hears of the end of its socket through `close`; why it broke is of no use to anybody.
    socket.on("error", () => {});
    if (displaced === seat) return;
    const { proxyFrom, proxyTimeoutMs: timeoutMs } = this.#options;
    const received = await receive(socket, { proxyFrom, isUnix, timeoutMs });
    if (!received.ok) {
      const ip = canonicalIp(socket.remoteAddress ?? UNKNOWN_IP);
      if (received.reason !== "left") this.#refused(received, { level: "warn", ip });
      socket.destroy();
      return;
    }
    const { id, addresses } = received;
    const isAllowed = this.#allowed === undefined || this.#allowed.has(addresses.source.ip);
    // Nobody knows the addresses an authority checks from: while it has something to check, a hello of acme-tls/1 is let through.
    if (!isAllowed && !this.#options.challenge.isPending) {
      this.#refused({ reason: "address_not_allowed" }, { level: "warn", ip: addresses.source.ip, conn: id });
      socket.destroy();
      return;
    }
    await this.#secure(seat, { id, addresses, isChallengeOnly: !isAllowed });
  }

  async #secure(seat: Seat, connection: Secured): Promise<void> {
    const { id, addresses, isChallengeOnly } = connection;
    const startedAt = performance.now();
    const accepted = await this.#tls.accept(seat.socket, { isChallengeOnly });
    const failure = accepted.ok === false ? accepted.reason : undefined;
    this.#options.metrics.countHandshake(performance.now() - startedAt, failure);
    if (accepted.ok === true) {
      this.#http.serve({ id, addresses, socket: accepted.socket }, () => this.#room.heard(seat));
      return;
    }
    if (seat.isDisplaced) return;
    if (accepted.ok === "challenge") {
      const message = "challenge answered: tls-alpn-01";
      const { ip } = addresses.source;
      this.#write({ level: "info", event: "challenge_answered", message, ip, conn: id });
      return;
    }
    if (isChallengeOnly) {
      const { ip } = addresses.source;
      this.#refused({ reason: "address_not_allowed" }, { level: "warn", ip, conn: id });
      return;
    }
    this.#write({
      level: "info",
      event: "tls_failed",
      message: `TLS failed: ${accepted.reason}`,
      ip: addresses.source.ip,
      conn: id,
      reason: accepted.reason,
    });
  }

  /** Ended without an answer: that would cost more than the place is worth. */
  #makeRoom(displaced: Socket): void {
    const now = performance.now();
    const isTime = now - this.#warnedFullAt >= FULL_WARNING_MS;
    if (isTime) this.#warnedFullAt = now;
    this.#refused({ reason: "too_many_connections" }, { level: isTime ? "warn" : "debug" });
    displaced.destroy();
  }

  #refused(
    { reason, problem }: { reason: string; problem?: string },
    fields: Pick<LogRecord, "level" | "ip" | "conn">,
  ): void {
    const message = `refused: ${reason}${problem === undefined ? "" : ` (${problem})`}`;
    this.#write({ event: "connection_refused", message, reason, ...fields });
  }

  #write(record: Omit<LogRecord, "time" | "component" | "hostname">): void {
    const { log, hostname } = this.#options;
    log.write({ time: Date.now(), component: "instance", hostname, ...record });
  }

  async #isEmptyWithin(milliseconds: number): Promise<boolean> {
    if (this.#room.open.size === 0) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#emptied = () => resolve(true);
    const timer = setTimeout(() => resolve(false), milliseconds);
    const isEmpty = await promise;
    clearTimeout(timer);
    return isEmpty;
  }
}

function emptyList(): AddressList {
  const none = AddressList.parse([]);
  if (!none.ok) throw new TypeError("the empty list is a list");
  return none.list;
}
