import type { Redis, RedisOptions } from "ioredis";
import type { KeyFollower, TrackingOptions } from "./key-follower.ts";
import { closeRedis, openServer, storeErrorText } from "./redis-connection.ts";

/** Where Redis publishes the invalidations that are redirected to a subscriber. */
const INVALIDATION_CHANNEL = "__redis__:invalidate";

/**
 * Pause between two PINGs on each connection. With the 2 s of silence that `openRedis` allows, a frozen server is noticed within
 * 2.5 s; without a heartbeat an idle connection would never notice.
 */
const HEARTBEAT_MS = 500;

/** Pause before arming is tried again on live connections: the server refused it (no permission, not Redis 6 or newer). */
const REARM_DELAY_MS = 1_000;

type TrackingState = "starting" | "armed" | "lost" | "closed";

/**
 * Follows keys of one server. Two connections: ioredis drops the RESP3 push that would carry invalidations in band, so they are
 * redirected to a RESP2 subscriber. Both client ids change when either connection is renewed, so everything is armed anew then.
 */
export class TrackedServer implements KeyFollower {
  readonly redis: Redis;
  readonly #subscriber: Redis;
  readonly #options: TrackingOptions;
  #state: TrackingState = "starting";
  /** Client id of the subscriber, and the server it is at, once it listens. */
  #subscriberId: number | undefined;
  #subscriberServer = "";
  /** Counts arming attempts and losses: an answer that belongs to an earlier one is ignored. */
  #epoch = 0;
  #lastError = "";
  #heartbeat: NodeJS.Timeout | undefined;
  #retry: NodeJS.Timeout | undefined;

  constructor(place: RedisOptions, options: TrackingOptions) {
    this.#options = options;
    const { clientName } = options;
    const onError = (error: Error): void => {
      this.#lastError = storeErrorText(error);
    };
    this.redis = openServer(place, { clientName, onError, isLazy: true });
    const name = `${clientName}-invalidations`;
    this.#subscriber = openServer(place, { clientName: name, onError, isLazy: true, protocol: 2 });
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

  get armed(): boolean {
    return this.#state === "armed";
  }

  start(): void {
    for (const redis of [this.redis, this.#subscriber]) {
      redis.connect().catch(() => undefined); // told through the close event, and retried
    }
    this.#heartbeat = setInterval(() => this.#ping(), HEARTBEAT_MS);
    this.#heartbeat.unref();
  }

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
