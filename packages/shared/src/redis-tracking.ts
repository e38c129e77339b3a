import type { Redis } from "ioredis";
import { closeRedis, openRedis, storeErrorText } from "./redis-connection.ts";

/** Where Redis publishes the invalidations that are redirected to a subscriber. */
const INVALIDATION_CHANNEL = "__redis__:invalidate";

/**
 * Pause between two PINGs on each connection. With the 2 s of silence that `openRedis` allows, a frozen server is noticed within
 * 2.5 s; without a heartbeat an idle connection would never notice.
 */
const HEARTBEAT_MS = 500;

/** Pause before arming is tried again on live connections: the server refused it (no permission, not Redis 6 or newer). */
const REARM_DELAY_MS = 1_000;

export interface TrackedKeysOptions {
  readonly url: string;
  /** The second connection is named the same with `-invalidations` behind it. */
  readonly clientName: string;
  /** Key prefixes to follow; none may be a prefix of another. */
  readonly prefixes: readonly string[];
  /** Tracking is (again) live: distrust all that was read before, then trust what is read from now on. */
  onArmed(): void;
  /** Keys that were written, deleted or expired; "all" when the database was flushed. Own writes are told too. */
  onInvalidated(keys: readonly string[] | "all"): void;
  /** The store is away, said once until the next {@link onArmed}: serve what is known. Also called when the first attempt fails. */
  onLost(reason: string): void;
}

type TrackingState = "starting" | "armed" | "lost" | "closed";

/**
 * Follows keys by prefix with Redis's own client-side caching (`CLIENT TRACKING … BCAST`), so that a cache can be trusted without
 * asking. Two connections: ioredis drops the RESP3 push that would carry invalidations in band, so they are redirected to a
 * RESP2 subscriber. Both client ids change when either connection is renewed, so everything is armed anew then; between a loss
 * and the next arming nothing is known about changes, which is what the callbacks say. Never throws into the caller.
 */
export class TrackedKeys {
  /** For commands; reads made here after arming are covered by invalidations. Commands reject while the store is away. */
  readonly redis: Redis;
  readonly #subscriber: Redis;
  readonly #options: TrackedKeysOptions;
  #state: TrackingState = "starting";
  /** Client id of the subscriber, and the server it is at, once it listens. */
  #subscriberId: number | undefined;
  #subscriberServer = "";
  /** Counts arming attempts and losses: an answer that belongs to an earlier one is ignored. */
  #epoch = 0;
  #lastError = "";
  #heartbeat: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;

  /** @throws {TypeError} when the URL can't be read. */
  constructor(options: TrackedKeysOptions) {
    this.#options = options;
    const { url, clientName } = options;
    const onError = (error: Error): void => {
      this.#lastError = storeErrorText(error);
    };
    this.redis = openRedis({ url, clientName, onError, isLazy: true });
    this.#subscriber = openRedis({
      url,
      clientName: `${clientName}-invalidations`,
      onError,
      isLazy: true,
      protocol: 2,
    });
    this.redis.on("ready", () => void this.#arm());
    this.redis.on("close", () => this.#lose());
    this.#subscriber.on("ready", () => void this.#subscribe());
    this.#subscriber.on("close", () => {
      this.#subscriberId = undefined;
      this.#lose();
    });
    // `message` would join the keys with commas; `messageBuffer` hands them over as they came.
    this.#subscriber.on("messageBuffer", (_channel: Buffer, keys: unknown) => this.#invalidate(keys));
  }

  /** True while invalidations flow: what was read since {@link TrackedKeysOptions.onArmed} is current. */
  get armed(): boolean {
    return this.#state === "armed";
  }

  /** Connects, and keeps at it until {@link close}. Call once. */
  start(): void {
    for (const redis of [this.redis, this.#subscriber]) {
      redis.connect().catch(() => undefined); // told through the close event, and retried
    }
    this.#heartbeat = setInterval(() => this.#ping(), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

  /** Closes both connections; no callback is called afterwards. */
  async close(): Promise<void> {
    this.#state = "closed";
    this.#epoch += 1;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#retry);
    await Promise.all([closeRedis(this.redis), closeRedis(this.#subscriber)]);
  }

  #ping(): void {
    for (const redis of [this.redis, this.#subscriber]) {
      // A missing answer is not judged here: openRedis cuts a silent connection, and its close event is the verdict.
      if (redis.status === "ready") redis.ping().catch(() => undefined);
    }
  }

  async #subscribe(): Promise<void> {
    try {
      // The id has to be asked for first: a RESP2 subscriber may not.
      const [id, server] = await Promise.all([this.#subscriber.client("ID"), runId(this.#subscriber)]);
      await this.#subscriber.subscribe(INVALIDATION_CHANNEL);
      if (this.#subscriber.status !== "ready") return;
      this.#subscriberId = id;
      this.#subscriberServer = server;
    } catch (error) {
      this.#refused(error);
      return;
    }
    await this.#arm();
  }

  /** Tells the server to send invalidations from now on; only then what is read may be kept. */
  async #arm(): Promise<void> {
    const id = this.#subscriberId;
    if (id === undefined || this.redis.status !== "ready" || this.#state === "closed") return;
    const epoch = ++this.#epoch;
    try {
      const server = await runId(this.redis);
      // In the middle of a failover each may have found another server, where the id would be a stranger's.
      if (server !== this.#subscriberServer) {
        this.#subscriber.disconnect(true);
        return;
      }
      const prefixes = this.#options.prefixes.flatMap((prefix) => ["PREFIX", prefix]);
      // Tracking that still points at a former subscriber can't be changed, only ended.
      const [, armed] = await Promise.all([
        this.redis.call("CLIENT", "TRACKING", "OFF"),
        this.redis.call("CLIENT", "TRACKING", "ON", "REDIRECT", String(id), "BCAST", ...prefixes),
      ]);
      if (epoch !== this.#epoch || armed !== "OK") return;
    } catch (error) {
      if (epoch === this.#epoch) this.#refused(error);
      return;
    }
    this.#state = "armed";
    this.#lastError = "";
    this.#options.onArmed();
  }

  #refused(error: unknown): void {
    this.#lastError = storeErrorText(error);
    this.#lose();
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      // A lost connection arms itself when it is back; this is for live ones.
      if (this.#subscriber.status !== "ready") return;
      void (this.#subscriberId === undefined ? this.#subscribe() : this.#arm());
    }, REARM_DELAY_MS);
    this.#retry.unref();
  }

  #lose(): void {
    this.#epoch += 1;
    if (this.#state === "closed" || this.#state === "lost") return;
    this.#state = "lost";
    this.#options.onLost(this.#lastError === "" ? "connection closed" : this.#lastError);
  }

  #invalidate(keys: unknown): void {
    if (this.#state === "closed") return;
    // Redis sends null, not a list, on FLUSHALL and FLUSHDB.
    if (!Array.isArray(keys)) this.#options.onInvalidated("all");
    else this.#options.onInvalidated(keys.map(String));
  }
}

/** What tells one run of one server from every other. */
async function runId(redis: Redis): Promise<string> {
  return /^run_id:(\w+)/m.exec(await redis.info("server"))?.[1] ?? "";
}
