import type { AddressPair } from "@gatehouse/shared/address";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { writeProxyHeader } from "@gatehouse/shared/proxy-header";
import { isConnectionId, newConnectionId } from "@gatehouse/shared/record-id";
import { formatTarget, type Route } from "@gatehouse/shared/route";
import type { Socket } from "node:net";
import { abortTcp } from "./abort.ts";
import { ClientHelloReader } from "./client-hello.ts";
import { endRecord, refusalRecord, type ConnectionFacts } from "./connection-record.ts";
import { Dial, type Dialled } from "./dial.ts";
import { readInboundHeader } from "./inbound-proxy.ts";
import type { ConnectionLimits, Waiting } from "./limits.ts";
import { lingerAndClose } from "./linger.ts";
import type { Metrics } from "./metrics.ts";
import type { OwnAddresses } from "./own-addresses.ts";
import { NO_LISTENER, PeerEvents } from "./peer-events.ts";
import { PeerGone, Preamble } from "./preamble.ts";
import type { ReadBuffers } from "./read-buffers.ts";
import { answerTo, ConnectionRefusal } from "./refusal.ts";
import type { RouteTable } from "./route-table.ts";
import type { ShedReport } from "./shed-report.ts";
import { Splice } from "./splice.ts";
import type { Sweep, Swept } from "./sweep.ts";
import type { TargetPool } from "./target-pool.ts";
import { endedBy, type Ending, type Phase } from "./termination.ts";

/** Dispatchers that a connection may have passed before us. Two make sense (an edge and a site); more is a loop. */
const MAX_HOPS = 3;

/** What all connections of a process share. */
export interface ConnectionContext {
  readonly routes: Pick<RouteTable, "find">;
  readonly pool: Pick<TargetPool, "order" | "opened" | "failed" | "succeeded">;
  readonly ownAddresses: OwnAddresses;
  readonly limits: ConnectionLimits;
  readonly buffers: ReadBuffers;
  readonly sweep: Sweep;
  readonly shed: Pick<ShedReport, "count">;
  readonly metrics: Metrics;
  readonly log: RecordLog;
  readonly settings: ConnectionSettings;
}

/** What the listener knows of a connection. */
export interface Accepted {
  /** The socket's own. */
  readonly addresses: AddressPair;
  /** The sender is listed, so it puts a PROXY header in front. */
  readonly isHeaderOwed: boolean;
}

/** The options that a single connection is held to; see `config.ts` for ranges and defaults. */
export interface ConnectionSettings {
  /** Milliseconds from accept to the end of the hello. Absolute: no byte moves it, and nothing of it is left once the hello is whole. */
  readonly helloTimeoutMs: number;
  /** Octets of the longest hello. */
  readonly maxHelloBytes: number;
  /** Milliseconds for all attempts to reach a target together. */
  readonly dialTimeoutMs: number;
  /** Milliseconds without a byte either way; 0: never. */
  readonly idleTimeoutMs: number;
  /** Milliseconds without a byte once one direction has ended. */
  readonly halfCloseTimeoutMs: number;
  /** Milliseconds of quiet before TCP keepalive probes start, on both legs. */
  readonly keepAliveDelayMs: number;
}

/** Thrown by the step in charge when the dispatcher itself ends a connection. */
class Aborted extends Error {
  readonly ending: Ending;

  constructor(ending: Ending) {
    super(ending);
    this.name = "Aborted";
    this.ending = ending;
  }
}

/** Thrown when the place of a connection is needed. Reset and counted like those that are not even accepted: it happens in floods. */
class MadeRoom extends Error {}

/**
 * The life of one connection: PROXY header of a listed sender, hello, route, dial, header and replay in one write, splice, one record.
 * Each step returns what the next one needs or throws; what is thrown becomes the answer to the peer and the record, in one place.
 */
export class Connection implements Swept, Waiting {
  readonly #peer: Socket;
  readonly #events: PeerEvents;
  readonly #context: ConnectionContext;
  readonly #startedAt = performance.now();
  readonly #isHeaderOwed: boolean;
  /** Undefined once the splice has taken over: an idle connection holds nothing of its beginning. */
  #preamble: Preamble | undefined;
  readonly #splice: Splice;
  #id = newConnectionId();
  #addresses: AddressPair;
  #hops = 0;
  #isAddressCounted: boolean;
  /** Called when the hello is whole, or will never be. */
  #heard: () => void;
  #phase: Phase = "hello";
  #serverName: Hostname | undefined;
  #upstream: string | undefined;

  /** Takes over the socket and all its events. A peer that owes no header is already counted by its address. */
  constructor(peer: Socket, accepted: Accepted, context: ConnectionContext) {
    this.#peer = peer;
    this.#addresses = accepted.addresses;
    this.#isHeaderOwed = accepted.isHeaderOwed;
    this.#isAddressCounted = !accepted.isHeaderOwed;
    this.#context = context;
    const countedIp = this.#isAddressCounted ? this.#addresses.source.ip : undefined;
    this.#heard = context.limits.awaitHello(this, countedIp);
    const preamble = new Preamble(peer, context.settings.maxHelloBytes);
    this.#preamble = preamble;
    this.#events = new PeerEvents(peer, preamble);
    this.#splice = new Splice(peer, context);
  }

  /** Octets of an open connection that the counters don't hold yet. */
  get bytesIn(): number {
    return this.#splice.bytesIn;
  }

  get bytesOut(): number {
    return this.#splice.bytesOut;
  }

  /** Settles when both sockets are closed and the record is written. Never rejects. */
  async run(): Promise<void> {
    const place = this.#context.sweep.add(this);
    try {
      if (this.#isHeaderOwed) await this.#takeInboundHeader();
      await this.#takeHello();
      const route = await this.#findRoute();
      const { socket, target, release } = await this.#dial(route);
      try {
        this.#upstream = formatTarget(target);
        this.#ended(await this.#spliceTo(socket, { isTcp: target.kind === "tcp", proxy: route.proxy }));
      } finally {
        socket.destroy();
        release();
      }
    } catch (reason) {
      await this.#endedEarly(reason);
    } finally {
      this.#heard();
      this.#context.sweep.delete(place);
      if (this.#isAddressCounted) this.#context.limits.leaveAddress(this.#addresses.source.ip);
    }
  }

  /** Ends the connection at once, whatever it is doing. */
  abort(ending: "drain deadline"): void {
    if (this.#phase === "splice") this.#splice.abort(ending);
    else this.#preamble?.fail(new Aborted(ending));
  }

  makeRoom(): void {
    this.#preamble?.fail(new MadeRoom());
  }

  sweep(now: number): void {
    if (this.#phase === "splice") this.#splice.sweep(now);
    else if (this.#isHelloDue && now - this.#startedAt > this.#context.settings.helloTimeoutMs) {
      this.#preamble?.fail(new ConnectionRefusal("hello_timeout"));
    }
  }

  /** @throws {TypeError} when the connection is spliced */
  get #beginning(): Preamble {
    if (this.#preamble === undefined) throw new TypeError("the beginning of this connection is over");
    return this.#preamble;
  }

  get #isHelloDue(): boolean {
    return this.#phase === "proxy_header" || this.#phase === "hello";
  }

  /** From here on the connection is the one the sender speaks for: its addresses, its name, its count. */
  async #takeInboundHeader(): Promise<void> {
    this.#phase = "proxy_header";
    const { addresses, uniqueId, hops } = await readInboundHeader(this.#beginning);
    this.#addresses = addresses ?? this.#addresses;
    this.#hops = hops;
    // A dispatcher in front of this one has named the connection already; one name joins all its records.
    if (uniqueId !== undefined && isConnectionId(uniqueId)) this.#id = uniqueId;
    const { limits, sweep } = this.#context;
    const { ip } = this.#addresses.source;
    const reason = limits.enterAddress(ip, sweep.now);
    if (reason !== undefined) throw new ConnectionRefusal(reason, "from this address");
    this.#isAddressCounted = true;
    this.#heard();
    this.#heard = limits.awaitHello(this, ip);
    this.#phase = "hello";
  }

  /** Feeds the reader until it has seen a whole hello; the bytes stay in the preamble for the target. */
  async #takeHello(): Promise<void> {
    const reader = new ClientHelloReader({ maxBytes: this.#context.settings.maxHelloBytes });
    for (;;) {
      const read = reader.push(await this.#beginning.next());
      if (read.kind === "refused") {
        throw new ConnectionRefusal(read.reason, read.problem, { isPlainHttp: read.isPlainHttp ?? false });
      }
      if (read.kind === "hello") {
        this.#heard();
        this.#serverName = read.serverName;
        this.#context.metrics.countHello(read.length, performance.now() - this.#startedAt);
        return;
      }
    }
  }

  /** The hello deadline is lifted here: what follows has bounds of its own. */
  async #findRoute(): Promise<Route> {
    this.#phase = "route";
    const found = this.#context.routes.find(this.#serverName);
    const answer = await found;
    this.#context.metrics.countLookup(answer.kind, found === answer);
    switch (answer.kind) {
      case "route":
        // A loop through a NAT hides from the address check of the dial; each round adds a hop.
        if (this.#hops > MAX_HOPS) throw new ConnectionRefusal("loop", `${this.#hops} dispatchers passed`);
        return answer.route;
      case "none":
        throw new ConnectionRefusal(this.#serverName === undefined ? "no_sni" : "no_route");
      case "bad":
        throw new ConnectionRefusal("bad_route", `route:${answer.name}: ${answer.problem}`);
      case "unknown":
        throw new ConnectionRefusal("store_unavailable");
    }
  }

  /** The peer is still read meanwhile, so that one that leaves takes its dial along. */
  async #dial(route: Route): Promise<Dialled> {
    this.#phase = "dial";
    const { pool, ownAddresses, settings } = this.#context;
    const dial = new Dial({
      targets: route.targets,
      pool,
      ownAddresses,
      onread: this.#splice.onread,
      budgetMs: settings.dialTimeoutMs,
      keepAliveDelayMs: settings.keepAliveDelayMs,
      beforeRetry: () => this.#beginning.throwIfEnded(),
    });
    this.#beginning.watch((reason) => dial.cancel(reason));
    return this.#context.metrics.timeDial(() => dial.run());
  }

  /**
   * The header and everything the peer has sent so far go out in one write: one segment, and no target that sees half of them. Not async:
   * what a function that waits has made is held as long as it waits.
   */
  #spliceTo(target: Socket, { isTcp, proxy }: { isTcp: boolean; proxy: Route["proxy"] }): Promise<Ending> {
    const replay = this.#beginning.release();
    this.#splice.bytesIn = replay.reduce((sum, chunk) => sum + chunk.length, 0);
    const first = proxy === "off" ? replay : [this.#outboundHeader(proxy), ...replay];
    this.#phase = "splice";
    this.#preamble = undefined;
    this.#events.listener = this.#splice;
    return this.#splice.run(target, Buffer.concat(first), { isTcp });
  }

  /** v1 has room for the addresses only; the writer leaves out the rest. */
  #outboundHeader(version: "v1" | "v2"): Buffer {
    return writeProxyHeader(version, {
      addresses: this.#addresses,
      uniqueId: this.#id,
      hops: this.#hops + 1,
      ...(this.#serverName !== undefined && { authority: this.#serverName }),
    });
  }

  /** Where every step above leads when it can't do its work: the answer to the peer, if it is still there, and the record. */
  async #endedEarly(reason: unknown): Promise<void> {
    this.#preamble?.release();
    this.#events.listener = NO_LISTENER;
    if (reason instanceof ConnectionRefusal) {
      const answer = answerTo(reason);
      this.#refused(reason, answer.label);
      await lingerAndClose(this.#peer, answer.bytes, this.#context.sweep);
      return;
    }
    if (reason instanceof PeerGone) {
      this.#peer.destroy();
      this.#ended(`peer ${reason.how}`);
      return;
    }
    abortTcp(this.#peer);
    if (reason instanceof MadeRoom)
      this.#context.shed.count("too_many_connections", this.#addresses.source.ip);
    else if (reason instanceof Aborted) this.#ended(reason.ending);
    else this.#ended("internal error", reason instanceof Error ? reason : new Error(String(reason)));
  }

  #ended(ending: Ending, cause?: Error): void {
    const { metrics, log } = this.#context;
    const facts = this.#facts();
    metrics.countEnd(ending, facts);
    if (endedBy(ending) === "peer" && facts.bytesIn === 0) metrics.silent.add();
    log.write(endRecord(ending, facts, cause));
  }

  #refused(refusal: ConnectionRefusal, answer: string): void {
    const facts = this.#facts();
    this.#context.metrics.countRefusal(refusal.reason, facts);
    this.#context.log.write(refusalRecord(refusal, answer, facts));
  }

  /** Bytes of the preamble become the splice's when it starts, so each octet is counted once. */
  #facts(): ConnectionFacts {
    const isSpliced = this.#phase === "splice";
    return {
      id: this.#id,
      ip: this.#addresses.source.ip,
      serverName: this.#serverName,
      upstream: this.#upstream,
      phase: this.#phase,
      durationMs: performance.now() - this.#startedAt,
      bytesIn: isSpliced ? this.#splice.bytesIn : (this.#preamble?.received ?? 0),
      bytesOut: this.#splice.bytesOut,
    };
  }
}
