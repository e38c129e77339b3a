import { Cluster, Redis, type Command } from "ioredis";
import { addressOf } from "./redis-servers.ts";
import { reconnectDelayMs, serverOptions } from "./redis-options.ts";
import type { ClusterPlace } from "./redis-url.ts";

/**
 * The slots are asked for again this often, whatever happens. It is the last resort: a lost connection and a server that sends us on
 * (`MOVED`) both ask at once.
 */
const REFRESH_MS = 5_000;

/** Pause between two looks for the successor of a master whose connection was lost. */
const SEEK_MS = 200;

/** As ioredis says it of a single server. */
const CLOSED = "Connection is closed.";

/**
 * A Redis Cluster as one connection. A command goes to the master of its key's slot; one that can't be sent rejects, as on a single
 * server: nothing is queued while the Cluster is away, and nothing whose answer was lost is sent again. (ioredis by itself does both.)
 */
export class ClusterConnection extends Cluster {
  readonly #place: ClusterPlace;
  readonly #refresh: NodeJS.Timeout;
  /** Masters whose connection was lost, until it is back or others have their slots. */
  readonly #sought = new Set<string>();

  constructor(place: ClusterPlace, { clientName, isLazy }: { clientName: string; isLazy: boolean }) {
    super([...place.nodes], {
      lazyConnect: isLazy,
      clusterRetryStrategy: reconnectDelayMs,
      // 0: a command in flight is never sent again, for it may have been carried out.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      // A name stays a name: TLS compares it with the certificate.
      dnsLookup: (address, callback) => callback(null, address),
      redisOptions: { ...place.options, ...serverOptions(clientName) },
    });
    this.#place = place;
    this.on("-node", (server: Redis) => {
      const address = addressOf(server);
      if (this.#sought.has(address)) return;
      this.#sought.add(address);
      this.#seek(address);
    });
    // The library's own interval outlives its connection.
    this.#refresh = setInterval(() => {
      if (this.status === "ready") this.refreshSlotsCache();
    }, REFRESH_MS);
    this.#refresh.unref();
  }

  override disconnect(isReconnecting?: boolean): void {
    if (isReconnecting !== true) clearInterval(this.#refresh);
    super.disconnect(isReconnecting);
  }

  /** Returns why the first of the servers that were named can't be used; the library says no more than that it is closed. Never rejects. */
  async whyAway(): Promise<Error> {
    const { nodes, options } = this.#place;
    const settings = { ...options, ...serverOptions("gatehouse-probe"), ...nodes[0] };
    const server = new Redis({ ...settings, lazyConnect: true, retryStrategy: null });
    const { promise, resolve } = Promise.withResolvers<Error>();
    server.on("error", resolve);
    server.connect().then(
      () => resolve(new Error("the Redis Cluster does not say who serves its slots")),
      (error: Error) => resolve(error),
    );
    try {
      return await promise;
    } finally {
      server.disconnect();
    }
  }

  /** Asks who has the slots of a master that was lost, and whether it is back, until either is so: not a command shall find out. */
  #seek(address: string): void {
    if (this.status !== "ready") {
      this.#sought.delete(address);
      return;
    }
    this.refreshSlotsCache(() => {
      const server = this.nodes("master").find((master) => addressOf(master) === address);
      if (server === undefined || server.status === "ready") {
        this.#sought.delete(address);
        return;
      }
      if (server.status === "wait") server.connect().catch(() => undefined);
      setTimeout(() => this.#seek(address), SEEK_MS).unref();
    });
  }

  /** Not before it is ready: what the library would queue has no deadline. `CLUSTER` is how it becomes ready. */
  override sendCommand(...[command, stream, node]: Parameters<Cluster["sendCommand"]>): unknown {
    const isSent = this.status === "ready" || this.status === "wait" || command.name === "cluster";
    if (isSent) return super.sendCommand(command, stream, node);
    command.reject(new Error(CLOSED));
    return (command as Command & { promise: Promise<unknown> }).promise;
  }
}
