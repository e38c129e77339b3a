import type { RedisClient } from "./redis-connection.ts";

/** What is followed, and who is told. */
export interface TrackingOptions {
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

/** How a single server and a Cluster are followed. */
export interface KeyFollower {
  /** For commands; reads made here after arming are covered by invalidations. Commands reject while the store is away. */
  readonly redis: RedisClient;
  /** True while invalidations flow: what was read since {@link TrackingOptions.onArmed} is current. */
  readonly armed: boolean;
  /** Connects, and keeps at it until {@link close}. Call once. */
  start(): void;
  /** Closes every connection; no callback is called afterwards. */
  close(): Promise<void>;
}
