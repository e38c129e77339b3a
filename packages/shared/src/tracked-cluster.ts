import type { Redis } from "ioredis";
import type { KeyFollower, TrackingOptions } from "./key-follower.ts";
import { ClusterConnection } from "./redis-cluster.ts";
import { closeRedis, storeErrorText } from "./redis-connection.ts";
import { addressOf, readSlots, type SlotMap } from "./redis-servers.ts";
import type { ClusterPlace } from "./redis-url.ts";
import { TrackedServer } from "./tracked-server.ts";

/**
 * Pause between two looks at who serves which slots. A failover shows earlier, by a lost connection; this is how its end is seen, and
 * what a slot that moves between two living masters waits at most.
 */
const LOOK_MS = 500;

/** What one master says about the Cluster. The higher its epoch, the newer. */
interface View {
  readonly epoch: number;
  readonly slots: SlotMap;
}

/**
 * Follows keys of a Cluster: every master that serves slots is followed as a single server is, and only while all of them are is
 * anything vouched for. A key that moves between two masters that are followed is told by both; a master that comes in, by a failover or
 * for new slots, was not followed before: when it is, everything is distrusted.
 */
export class TrackedCluster implements KeyFollower {
  readonly redis: ClusterConnection;
  readonly #place: ClusterPlace;
  readonly #options: TrackingOptions;
  readonly #masters = new Map<string, TrackedServer>();
  readonly #views = new Map<string, View>();
  readonly #asked = new Set<Redis>();
  #state: "starting" | "armed" | "lost" | "closed" = "starting";
  #slotsText = "";
  /** Slots moved among masters that are all followed, and may still. */
  #isMoving = false;
  #lastError = "";
  #timer: NodeJS.Timeout | undefined;

  constructor(place: ClusterPlace, options: TrackingOptions) {
    this.#place = place;
    this.#options = options;
    this.redis = new ClusterConnection(place, { clientName: options.clientName, isLazy: true });
    const failed = (error: Error): void => {
      this.#lastError = storeErrorText(error);
    };
    this.redis.on("node error", failed);
    this.redis.on("error", () => undefined); // `close` follows
    this.redis.on("close", () => void this.#away());
    this.redis.on("ready", () => this.#look());
  }

  get armed(): boolean {
    return this.#state === "armed";
  }

  start(): void {
    this.redis.connect().catch(() => undefined); // told through the events, and retried
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  async close(): Promise<void> {
    this.#state = "closed";
    clearInterval(this.#timer);
    const masters = [...this.#masters.values()];
    this.#masters.clear();
    await Promise.all([closeRedis(this.redis), ...masters.map((master) => master.close())]);
  }

  /** Asks every master: the one that is cut off from the others knows least, and there is no telling which that is. */
  #look(): void {
    if (this.redis.status !== "ready") return;
    const servers = this.redis.nodes("master");
    const addresses = new Set(servers.map(addressOf));
    for (const address of this.#views.keys()) if (!addresses.has(address)) this.#views.delete(address);
    for (const server of servers) if (!this.#asked.has(server)) void this.#ask(server);
  }

  async #ask(server: Redis): Promise<void> {
    this.#asked.add(server);
    try {
      const [info, slots] = await Promise.all([server.cluster("INFO"), readSlots(server)]);
      const epoch = Number(/cluster_current_epoch:(\d+)/.exec(info)?.[1] ?? 0);
      this.#views.set(addressOf(server), { epoch, slots });
    } catch (error) {
      this.#lastError = storeErrorText(error);
      this.#views.delete(addressOf(server));
    }
    this.#asked.delete(server);
    if (this.#state !== "closed") this.#judge();
  }

  /** Follows the masters that the newest views name, and no others. */
  #judge(): void {
    const newest = Math.max(...[...this.#views.values()].map(({ epoch }) => epoch));
    const views = [...this.#views.values()].filter(({ epoch }) => epoch === newest);
    const [view] = views;
    if (view === undefined) return;
    // Where they don't agree yet, all that any of them names: to follow one too many costs nothing.
    const wanted = new Set(views.flatMap(({ slots }) => slots.masters));
    const isChanged = this.#slotsText !== view.slots.text;
    this.#slotsText = view.slots.text;
    const left = [...this.#masters].filter(([address]) => !wanted.has(address));
    for (const [address, master] of left) {
      this.#masters.delete(address);
      void master.close();
    }
    const come = [...wanted].filter((address) => !this.#masters.has(address));
    for (const address of come) this.#follow(address);
    if (left.length + come.length > 0) this.#membersChanged(come);
    else this.#settle(isChanged);
    // Its own connections may have been away while nothing else was.
    if (this.#state !== "armed") this.#armWhenWhole();
  }

  #membersChanged(come: readonly string[]): void {
    this.#isMoving = false;
    this.redis.refreshSlotsCache();
    if (come.length > 0 && this.#state === "armed") this.#lose(`slots moved to ${come.join(", ")}`);
    this.#armWhenWhole();
  }

  /** Invalidations tell of every key that moved. That nothing was passed over all the same is made sure once the slots rest. */
  #settle(isChanged: boolean): void {
    if (isChanged) {
      this.redis.refreshSlotsCache();
      this.#isMoving = true;
    } else if (this.#isMoving) {
      this.#isMoving = false;
      if (this.#state === "armed") this.#options.onArmed();
    }
  }

  #follow(address: string): void {
    const colon = address.lastIndexOf(":");
    const place = { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
    const master = new TrackedServer(
      { ...this.#place.options, ...place },
      {
        clientName: this.#options.clientName,
        prefixes: this.#options.prefixes,
        onArmed: () => this.#armWhenWhole(),
        onInvalidated: (keys) => this.#options.onInvalidated(keys),
        onLost: (reason) => this.#lose(reason),
      },
    );
    this.#masters.set(address, master);
    master.start();
  }

  #armWhenWhole(): void {
    const masters = [...this.#masters.values()];
    if (this.#state === "closed" || this.redis.status !== "ready") return;
    if (masters.length === 0 || !masters.every(({ armed }) => armed)) return;
    this.#state = "armed";
    this.#lastError = "";
    this.#options.onArmed();
  }

  /** No server answers. At the start there is time to find out why. */
  async #away(): Promise<void> {
    if (this.#state !== "starting") {
      this.#lose();
      return;
    }
    const reason = storeErrorText(await this.redis.whyAway());
    if (this.#masters.size === 0) this.#lose(reason);
  }

  #lose(reason: string = this.#lastError): void {
    if (this.#state === "closed" || this.#state === "lost") return;
    this.#state = "lost";
    this.#options.onLost(reason === "" ? "connection closed" : reason);
  }
}
