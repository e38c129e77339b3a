import type { KeyFollower, TrackingOptions } from "./key-follower.ts";
import type { RedisClient } from "./redis-connection.ts";
import { parseClusterUrl, parseRedisUrl, REDIS_URL_FORMS } from "./redis-url.ts";
import { TrackedCluster } from "./tracked-cluster.ts";
import { TrackedServer } from "./tracked-server.ts";

export interface TrackedKeysOptions extends TrackingOptions {
  readonly url: string;
}

/**
 * Follows keys by prefix with Redis's own client-side caching (`CLIENT TRACKING … BCAST`), so that a cache can be trusted without
 * asking, on a single server or a Cluster. Between a loss and the next arming nothing is known about changes, which is what the
 * callbacks say. Never throws into the caller.
 */
export class TrackedKeys implements KeyFollower {
  readonly #follower: KeyFollower;

  /** @throws {TypeError} when the URL can't be read. */
  constructor({ url, ...options }: TrackedKeysOptions) {
    const cluster = parseClusterUrl(url);
    const place = parseRedisUrl(url);
    if (cluster !== undefined) this.#follower = new TrackedCluster(cluster, options);
    else if (place !== undefined) this.#follower = new TrackedServer(place, options);
    // The text is not quoted: it may hold the password.
    else throw new TypeError(`a Redis URL is ${REDIS_URL_FORMS}`);
  }

  get redis(): RedisClient {
    return this.#follower.redis;
  }

  get armed(): boolean {
    return this.#follower.armed;
  }

  start(): void {
    this.#follower.start();
  }

  async close(): Promise<void> {
    await this.#follower.close();
  }
}
