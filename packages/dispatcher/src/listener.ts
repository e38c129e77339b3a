import { canonicalIp, type AddressList, type AddressPair } from "@gatehouse/shared/address";
import { listen, type ListenAddress } from "@gatehouse/shared/listen-address";
import { OpenSet } from "@gatehouse/shared/open-set";
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";
import { Connection, type ConnectionContext } from "./connection.ts";
import type { LimitReason } from "./limits.ts";
import { ShedReport } from "./shed-report.ts";

/**
 * Octets that a peer's socket holds for a slow reader before its target is paused. Also the size from which a pending write is
 * always reported, on which the splice relies.
 */
const PEER_HIGH_WATER_MARK = 16 * 1024;

/** The listening sockets of a dispatcher and the connections accepted on them. */
export class Listeners {
  readonly #context: ConnectionContext;
  readonly #proxyFrom: AddressList;
  readonly #shed: ShedReport;
  readonly #servers: Server[] = [];
  readonly #connections = new OpenSet<Connection>();
  #shedPlace: number | undefined;
  #whenEmpty: (() => void) | undefined;

  /** `proxyFrom`: senders that put a PROXY header in front of each connection. */
  constructor(context: Omit<ConnectionContext, "shed">, proxyFrom: AddressList) {
    this.#shed = new ShedReport(context.log, context.metrics);
    this.#context = { ...context, shed: this.#shed };
    this.#proxyFrom = proxyFrom;
    this.#shedPlace = context.sweep.add(this.#shed);
  }

  /** Connections that are open now. */
  get connections(): Iterable<Connection> & { readonly size: number } {
    return this.#connections;
  }

  /**
   * Starts to accept on all addresses, or on none.
   * @throws the system's error when one can't be bound
   */
  async open(addresses: readonly ListenAddress[]): Promise<readonly AddressInfo[]> {
    const bound: AddressInfo[] = [];
    try {
      for (const address of addresses) bound.push(await this.#open(address, addresses));
    } catch (error) {
      this.close();
      throw error;
    }
    return bound;
  }

  /** Stops accepting at once. Connections go on; what other processes accept on a shared descriptor is theirs. */
  close(): void {
    for (const server of this.#servers) server.close();
    if (this.#shedPlace !== undefined) this.#context.sweep.delete(this.#shedPlace);
    this.#shedPlace = undefined;
  }

  /** Settles when no connection is left; those still open at the deadline are aborted. Call {@link close} first. */
  async drained(deadlineMs: number): Promise<void> {
    if (this.#connections.size === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#whenEmpty = resolve;
    const timer = setTimeout(() => {
      for (const connection of this.#connections) connection.abort("drain deadline");
    }, deadlineMs);
    await promise;
    clearTimeout(timer);
  }

  /** Half-open sockets, or Node would end our direction as soon as the peer ends its own. */
  async #open(address: ListenAddress, all: readonly ListenAddress[]): Promise<AddressInfo> {
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: this.#context.settings.keepAliveDelayMs,
      highWaterMark: PEER_HIGH_WATER_MARK,
    });
    this.#servers.push(server);
    server.on("connection", (socket) => this.#accept(socket));
    await listen(server, address, { ipv6Only: hasIpv4Sibling(address, all) });
    // Out of descriptors, most often: the kernel's queue holds the connection until one is free again.
    server.on("error", () => this.#shed.count("too_many_connections", undefined));
    const info = server.address();
    if (info === null || typeof info === "string") {
      throw new Error("a dispatcher listens on TCP only; a unix socket was inherited");
    }
    this.#context.ownAddresses.add(info);
    return info;
  }

  /** Everything that can be refused without reading a byte is refused here. */
  #accept(socket: Socket): void {
    const { limits, metrics, sweep } = this.#context;
    metrics.accepted.add();
    const addresses = socketAddresses(socket);
    if (addresses === undefined) {
      // Reset while it waited in the kernel's queue: it has no address any more.
      metrics.silent.add();
      socket.on("error", () => undefined).destroy();
      return;
    }
    const { ip } = addresses.source;
    const isHeaderOwed = !this.#proxyFrom.isEmpty && this.#proxyFrom.has(ip);
    const reason = isHeaderOwed ? limits.enter() : limits.admit(ip, sweep.now);
    if (reason === undefined)
      void this.#serve(new Connection(socket, { addresses, isHeaderOwed }, this.#context));
    else this.#reset(socket, reason, ip);
  }

  /** A reset costs the least: no answer, no waiting state left in the kernel. */
  #reset(socket: Socket, reason: LimitReason, ip: string): void {
    this.#shed.count(reason, ip);
    socket.on("error", () => undefined).resetAndDestroy();
  }

  async #serve(connection: Connection): Promise<void> {
    const place = this.#connections.add(connection);
    await connection.run();
    this.#connections.delete(place);
    this.#context.limits.leave();
    if (this.#connections.size === 0) this.#whenEmpty?.();
  }
}

/** An `[::]` beside `0.0.0.0` on the same port leaves IPv4 to it; alone it takes both. */
export function hasIpv4Sibling(address: ListenAddress, all: readonly ListenAddress[]): boolean {
  if (address.kind !== "tcp" || !address.host.includes(":")) return false;
  const { port } = address;
  if (port === 0) return false;
  return all.some((other) => other.kind === "tcp" && other.port === port && !other.host.includes(":"));
}

function socketAddresses(socket: Socket): AddressPair | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) return undefined;
  if (localAddress === undefined || localPort === undefined) return undefined;
  return {
    source: { ip: plainIp(remoteAddress), port: remotePort },
    destination: { ip: plainIp(localAddress), port: localPort },
  };
}

/** A zone (`fe80::1%eth0`) means something on this machine only, and has no place in a PROXY header. */
function plainIp(text: string): string {
  const zone = text.indexOf("%");
  return canonicalIp(zone === -1 ? text : text.slice(0, zone));
}
