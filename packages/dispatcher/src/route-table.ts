import type { Redis } from "ioredis";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { routeNames, type Hostname } from "@gatehouse/shared/hostname";
import { ROUTE_PREFIX, routeKey } from "@gatehouse/shared/redis-keys";
import { KeyReader } from "@gatehouse/shared/key-reader";
import { everyServer, readTexts } from "@gatehouse/shared/redis-servers";
import { TrackedKeys } from "@gatehouse/shared/redis-tracking";
import { isRouteName, RouteMemory, type KnownRoute, type RouteAnswer } from "./route-memory.ts";
import { SnapshotKeeper } from "./route-snapshot.ts";

export type { RouteAnswer } from "./route-memory.ts";

/** Longest wait of {@link RouteTable.start} for Redis: a fresh process should not refuse names that it is about to know. */
const START_TIMEOUT_MS = 3_000;

/** Keys that one SCAN looks at; Redis serves others between two of them. */
const SCAN_COUNT = 1_000;

/** Known routes that are asked for again at once when a new generation begins. */
const REFRESH_SLICE = 500;

/** Pause before the routes are listed again when Redis refused (a script keeps it busy, a permission is missing). */
const WARM_UP_RETRY_MS = 5_000;

const NONE: RouteAnswer = { kind: "none" };
const UNKNOWN: RouteAnswer = { kind: "unknown" };
/** A connection without server name may only use the default route. */
const DEFAULT_NAMES: readonly string[] = ["*"];

export interface RouteTableOptions {
  readonly redisUrl: string;
  /** Name of the connections in `CLIENT LIST`. Default `gatehouse-dispatcher`. */
  readonly clientName?: string;
  /** Directory of the snapshot `routes.json`; without it nothing is known at a start without Redis. */
  readonly stateDir?: string | undefined;
  /** Routes kept in memory; those beyond are read when they are asked for. Default 100,000. */
  readonly maxKeys?: number;
  /** Names without a route kept in memory. Default 20,000. */
  readonly maxAbsentNames?: number;
  /** Milliseconds from a change to the snapshot that holds it. Default 3,000. */
  readonly snapshotIntervalMs?: number;
  /** A value in Redis can't be used; said once for each change to it. */
  readonly onBadRoute: (name: string, problem: string) => void;
  /** Redis is away: what is known keeps serving. Said once until {@link onStoreRegained}. */
  readonly onStoreLost: (reason: string) => void;
  readonly onStoreRegained: () => void;
  /** The snapshot can't be read or written, or the routes can't be listed: for the operator, nothing stops. */
  readonly onProblem: (problem: string) => void;
}

/**
 * Finds the route of a server name: exact before one-label wildcard before default. Answers come from memory and are kept current by
 * Redis itself, which tells what was written; a name is read once, when it is first asked for or when its key was written. The cost
 * of a lookup does not depend on how many routes there are.
 */
export class RouteTable {
  readonly #options: RouteTableOptions;
  readonly #memory: RouteMemory;
  readonly #reader: KeyReader;
  readonly #tracked: TrackedKeys;
  readonly #snapshot: SnapshotKeeper | undefined;
  readonly #settled = Promise.withResolvers<void>();
  #hasSnapshot = false;
  #isLost = false;

  /** @throws {TypeError} when the Redis URL can't be read. */
  constructor(options: RouteTableOptions) {
    this.#options = options;
    this.#memory = new RouteMemory({
      maxRoutes: options.maxKeys ?? 100_000,
      maxAbsent: options.maxAbsentNames ?? 20_000,
      onBadRoute: options.onBadRoute,
      onChanged: () => this.#snapshot?.changed(),
    });
    this.#tracked = new TrackedKeys({
      url: options.redisUrl,
      clientName: options.clientName ?? "gatehouse-dispatcher",
      prefixes: [ROUTE_PREFIX],
      onArmed: () => this.#regained(),
      onInvalidated: (keys) => this.#invalidated(keys),
      onLost: (reason) => this.#lost(reason),
    });
    this.#reader = new KeyReader({
      read: (names) => readTexts(this.#tracked.redis, names.map(routeKey)),
      onSend: () => {
        const { generation } = this.#memory;
        return (name, text) => this.#memory.learn(name, text, generation);
      },
    });
    if (options.stateDir !== undefined) {
      this.#snapshot = new SnapshotKeeper({
        path: join(options.stateDir, "routes.json"),
        intervalMs: options.snapshotIntervalMs ?? 3_000,
        source: this.#memory,
        onProblem: options.onProblem,
      });
    }
  }

  /** True while Redis vouches for the answers; false while they come from what was known before. */
  get isFresh(): boolean {
    return this.#tracked.armed;
  }

  /**
   * Reads the snapshot and connects. Resolves when the answers are fresh, when Redis is away and there is a snapshot to serve from,
   * or after 3 s; connecting goes on in any case. Never rejects.
   */
  async start(): Promise<void> {
    const content = await this.#snapshot?.load();
    if (content !== undefined) {
      this.#hasSnapshot = true;
      this.#memory.isComplete = content.isComplete; // until a route does not fit
      for (const [name, text] of content.routes) this.#memory.learnStale(name, text);
    }
    this.#tracked.start();
    const tooLate = new AbortController();
    const timeout = delay(START_TIMEOUT_MS, undefined, { signal: tooLate.signal }).catch(() => undefined);
    await Promise.race([this.#settled.promise, timeout]);
    tooLate.abort();
  }

  /**
   * Returns the route of a server name, at once when everything that decides it is known, else as a promise that never rejects.
   * Undefined, a connection without server name, finds the default route only.
   */
  find(hostname: Hostname | undefined): RouteAnswer | Promise<RouteAnswer> {
    const names = hostname === undefined ? DEFAULT_NAMES : routeNames(hostname);
    if (!this.isFresh) return this.#remembered(names);
    return this.#current(names) ?? this.#ask(names);
  }

  /** Writes the snapshot if it is behind, and closes the connections. */
  async close(): Promise<void> {
    await this.#tracked.close();
    await this.#snapshot?.close();
  }

  /** The answer Redis vouches for; undefined when a name that decides it has to be read first. */
  #current(names: readonly string[]): RouteAnswer | undefined {
    for (const name of names) {
      const known = this.#memory.recall(name);
      if (!this.#memory.isCurrent(known)) return undefined;
      if (known.answer.kind !== "none") return known.answer;
    }
    return NONE;
  }

  /** The answer while Redis is away. A wildcard may answer only for a name that is known to have no route of its own. */
  #remembered(names: readonly string[]): RouteAnswer {
    for (const name of names) {
      const known = this.#memory.recall(name);
      if (known === undefined && !this.#memory.isComplete) return UNKNOWN;
      if (known !== undefined && known.answer.kind !== "none") return known.answer;
    }
    return UNKNOWN;
  }

  async #ask(names: readonly string[]): Promise<RouteAnswer> {
    try {
      const all = await Promise.all(names.map((name) => this.#read(name)));
      return all.find(({ answer }) => answer.kind !== "none")?.answer ?? NONE;
    } catch {
      return this.#remembered(names); // lost on the way; the loss itself is told by onStoreLost
    }
  }

  async #read(name: string): Promise<KnownRoute> {
    const known = this.#memory.recall(name);
    if (this.#memory.isCurrent(known)) return known;
    // What was read is used even when an invalidation has overtaken it and it is not kept: it was true when it was asked for.
    return this.#memory.interpret(name, await this.#reader.read(name));
  }

  #regained(): void {
    this.#beginGeneration(); // before anybody is told: no answer after that may be an old one
    if (this.#isLost) this.#options.onStoreRegained();
    this.#isLost = false;
    this.#settled.resolve();
  }

  #lost(reason: string): void {
    this.#isLost = true;
    this.#options.onStoreLost(reason);
    if (this.#hasSnapshot) this.#settled.resolve();
  }

  #invalidated(keys: readonly string[] | "all"): void {
    if (!this.isFresh) return; // nothing known is trusted until the next arming, which reads it all again
    if (keys === "all") {
      this.#beginGeneration();
      return;
    }
    for (const key of keys) {
      const name = key.slice(ROUTE_PREFIX.length);
      if (isRouteName(name)) this.#invalidatedName(name);
    }
  }

  /** A route that is known is read again at once, so that the next lookup and the snapshot have it; a new one too, while there is room. */
  #invalidatedName(name: string): void {
    this.#memory.distrust(name);
    this.#reader.distrust(name);
    if (this.#memory.hasRoute(name) || this.#memory.room > 0) {
      this.#reader.read(name).catch(() => undefined); // lost on the way: the next generation reads it
    } else {
      this.#memory.isComplete = false;
    }
  }

  #beginGeneration(): void {
    this.#memory.beginGeneration();
    this.#reader.distrustAll();
    void this.#warmUp(this.#memory.generation);
  }

  /** Reads again what was known, then what else there is and fits, while lookups go on beside it. */
  async #warmUp(generation: number): Promise<void> {
    try {
      const names = this.#memory.routeNames();
      for (let at = 0; at < names.length; at += REFRESH_SLICE) {
        await this.#readAll(names.slice(at, at + REFRESH_SLICE));
        if (generation !== this.#memory.generation) return;
      }
      const isComplete = await this.#discover(generation);
      if (generation === this.#memory.generation) this.#memory.isComplete = isComplete;
    } catch (error) {
      // Lost again: the next arming begins anew. While Redis is there, it refused.
      if (!this.isFresh || generation !== this.#memory.generation) return;
      this.#options.onProblem(`routes can't be listed: ${String(error)}`);
      setTimeout(() => {
        if (this.isFresh && generation === this.#memory.generation) void this.#warmUp(generation);
      }, WARM_UP_RETRY_MS).unref();
    }
  }

  /** Lists the routes in Redis and reads those that fit; returns whether all did. */
  async #discover(generation: number): Promise<boolean> {
    for (const server of await everyServer(this.#tracked.redis)) {
      if (!(await this.#discoverOn(server, generation))) return false;
    }
    return true;
  }

  async #discoverOn(server: Redis, generation: number): Promise<boolean> {
    let cursor = "0";
    do {
      const [next, keys] = await server.scan(cursor, "MATCH", `${ROUTE_PREFIX}*`, "COUNT", SCAN_COUNT);
      if (generation !== this.#memory.generation) return false;
      const names = keys
        .map((key) => key.slice(ROUTE_PREFIX.length))
        .filter((name) => isRouteName(name) && !this.#memory.hasCurrentRoute(name));
      const room = this.#memory.room;
      await this.#readAll(names.slice(0, room));
      if (names.length > room) return false;
      cursor = next;
    } while (cursor !== "0");
    return true;
  }

  async #readAll(names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.#reader.read(name)));
  }
}
