import { openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import {
  startPrivateRedisSentinel,
  type PrivateRedisSentinel,
} from "@gatehouse/testbed/private-redis-sentinel";
import { ScriptedBrowser } from "@gatehouse/testbed/scripted-browser";
import { Claude, type TokenAnswer } from "../test/support/claude.ts";
import type { Gatehouse } from "../test/support/gatehouse.ts";
import type { GatehouseProcess } from "../test/support/gatehouse-process.ts";
import { ProtectedGatehouse, type ProtectedHostSpec } from "../test/support/protected-gatehouse.ts";
import { startRelay, type Relay } from "../test/support/relay.ts";
import { UpstreamProcess } from "../test/support/upstream-process.ts";
import { Supervisor } from "./supervisor.ts";

export const OPEN = "open.localhost";
export const PROTECTED = "protected.localhost";
export const HOSTS = [OPEN, PROTECTED] as const;
export type Host = (typeof HOSTS)[number];

/** Where processes run and what is between them; what is not said is on loopback, as `host add` makes it. */
export interface Place {
  /** In the environment of every process of Gatehouse. */
  readonly env?: Readonly<Record<string, string>>;
  readonly dispatcher?: {
    readonly env?: Readonly<Record<string, string>>;
    readonly enter?: readonly string[];
  };
  readonly instances?: Readonly<Partial<Record<Host, Pick<ProtectedHostSpec, "env" | "enter" | "target">>>>;
  /** Relays that can delay between the tiers, and in front of Redis. */
  readonly isRelayed?: boolean;
  /** Address that the upstream is reached on; without it, it is on loopback alone. */
  readonly servesOn?: string;
  /** Makes the single Redis reachable elsewhere, given its socket; returns its URL there. */
  readonly redisThrough?: (socketPath: string) => Promise<string>;
  /** Where the single Redis keeps its files, and how often it brings them to the disk; a directory of its own, at once. */
  readonly redisFiles?: { readonly directory: string; readonly fsync: "always" | "everysec" };
  /** Redis under Sentinels instead of a single one. */
  readonly hasSentinels?: boolean;
  /** When the bed stands: what only then can be done. */
  readonly finish?: (bed: Bed) => Promise<void>;
  /** When the bed is gone. */
  readonly leave?: () => Promise<void>;
}

/** With `always`, what operators are told to run: a restart keeps what was acknowledged (docs/operations.md). */
const durable = (fsync: string): string[] => ["--appendonly", "yes", "--appendfsync", fsync];

/** The load is one client's; limits for the many are not what is tried here. */
const NO_LIMITS = {
  GATEHOUSE_REGISTRATIONS_PER_MINUTE: "100000",
  GATEHOUSE_REGISTRATIONS_PER_REDIRECT_HOST_PER_MINUTE: "100000",
};

/** A whole Gatehouse under supervision: dispatcher, an open host, a protected host, an upstream, Redis, and a stand-in for GitHub. */
export class Bed {
  readonly #place: Place;
  /** Undone in reverse. */
  readonly #undo: (() => Promise<unknown>)[] = [];
  readonly relays: Relay[] = [];
  upstream!: UpstreamProcess;
  /** Undefined under Sentinels. */
  redis: PrivateRedis | undefined;
  sentinels: PrivateRedisSentinel | undefined;
  redisRelay: Relay | undefined;
  protectedGatehouse!: ProtectedGatehouse;
  supervisor!: Supervisor;

  /** Longest that a client waits for an answer, in milliseconds. */
  readonly patienceMs: number;

  private constructor(place: Place, patienceMs: number) {
    this.#place = place;
    this.patienceMs = patienceMs;
  }

  static async start(patienceMs: number, place: Place = {}): Promise<Bed> {
    const bed = new Bed(place, patienceMs);
    try {
      await bed.#start();
      return bed;
    } catch (error) {
      await bed.stop();
      throw error;
    }
  }

  get gatehouse(): Gatehouse {
    return this.protectedGatehouse.gatehouse;
  }

  get processes(): readonly (GatehouseProcess | UpstreamProcess)[] {
    const { dispatcher } = this.gatehouse;
    return [dispatcher, ...HOSTS.map((host) => this.gatehouse.instance(host)), this.upstream];
  }

  /** A client of the protected host, registered and logged in. */
  async logIn(): Promise<{ readonly claude: Claude; readonly access: string; readonly refresh: string }> {
    const claude = new Claude(this.fetch, this.origin);
    await claude.register();
    const tokens = await this.authorize(claude);
    return { claude, access: tokens.access_token, refresh: tokens.refresh_token };
  }

  /** Sends a person who is signed in at the provider through the login of a client. */
  async authorize(claude: Claude): Promise<TokenAnswer> {
    return await claude.authorize(async (url) => {
      const browser = new ScriptedBrowser(this.fetch);
      await browser.open(this.protectedGatehouse.github.signInUrl("octocat"));
      return await browser.submit(await browser.open(url));
    });
  }

  /** As clients have it, that give up and hang up. */
  get fetch(): typeof globalThis.fetch {
    const { fetch } = this.protectedGatehouse;
    return (input, init) => fetch(input, { ...init, signal: AbortSignal.timeout(this.patienceMs) });
  }

  /** Of the protected host. */
  get origin(): string {
    return this.protectedGatehouse.origin(PROTECTED);
  }

  /** A connection to the single Redis that no relay and no fault of the network is on. */
  async commandRedis(work: (redis: RedisClient) => Promise<unknown>): Promise<void> {
    if (this.redis === undefined) throw new Error("this bed has no single Redis");
    const redis = openRedis({ url: this.redis.url, clientName: "fault", isLazy: true });
    await redis.connect();
    await work(redis).finally(() => redis.disconnect());
  }

  async stop(): Promise<void> {
    for (const undo of this.#undo.toReversed()) await undo();
    this.#undo.length = 0;
  }

  async #start(): Promise<void> {
    const { env, dispatcher, leave, finish } = this.#place;
    if (leave !== undefined) this.#undo.push(leave);
    this.upstream = await UpstreamProcess.start();
    this.#undo.push(() => this.upstream.kill());
    const redisUrl = await this.#startRedis();
    const dispatcherEnv = { ...env, ...dispatcher?.env };
    this.protectedGatehouse = await ProtectedGatehouse.start([await this.#host(PROTECTED)], {
      redisUrl,
      dispatcherEnv,
      ...(dispatcher?.enter && { dispatcherEnter: dispatcher.enter }),
      instanceEnv: { ...NO_LIMITS, ...env },
    });
    this.#undo.push(() => this.protectedGatehouse.stop());
    await this.gatehouse.addHost(await this.#host(OPEN));
    if (this.#place.isRelayed === true) await this.#relayTiers();
    this.supervisor = new Supervisor(this.processes);
    this.#undo.push(() => this.supervisor.close());
    await finish?.(this);
  }

  async #startRedis(): Promise<string> {
    const { hasSentinels = false, isRelayed = false, redisThrough, redisFiles } = this.#place;
    if (hasSentinels) {
      const sentinels = await startPrivateRedisSentinel();
      this.sentinels = sentinels;
      this.#undo.push(() => sentinels.stop());
      return sentinels.url;
    }
    const redis = await startPrivateRedis({
      args: durable(redisFiles?.fsync ?? "always"),
      ...(redisFiles && { directory: redisFiles.directory }),
    });
    this.redis = redis;
    this.#undo.push(() => redis.stop());
    if (redisThrough !== undefined) return await redisThrough(redis.socketPath);
    if (!isRelayed) return redis.url;
    this.redisRelay = await this.#relay("127.0.0.1", { path: redis.socketPath });
    return `redis://127.0.0.1:${this.redisRelay.port}`;
  }

  async #host(hostname: Host): Promise<ProtectedHostSpec> {
    const { servesOn, isRelayed = false, instances } = this.#place;
    const port = Number(new URL(this.upstream.url).port);
    const relay =
      servesOn === undefined ? undefined : await this.#relay(servesOn, { host: "127.0.0.1", port });
    const upstreamUrl = relay === undefined ? this.upstream.url : `http://${servesOn}:${relay.port}`;
    return { hostname, upstreamUrl, ...(isRelayed && { target: "tcp" }), ...instances?.[hostname] };
  }

  /** Instances got ports of loopback; the dispatcher is sent to relays in front of them. */
  async #relayTiers(): Promise<void> {
    for (const host of HOSTS) {
      const port = Number(await this.gatehouse.store.get(`route:${host}`));
      const relay = await this.#relay("127.0.0.1", { host: "127.0.0.1", port });
      this.relays.push(relay);
      await this.gatehouse.store.set(`route:${host}`, String(relay.port));
    }
  }

  async #relay(address: string, to: Parameters<typeof startRelay>[1]): Promise<Relay> {
    const relay = await startRelay(address, to);
    this.#undo.push(() => relay.close());
    return relay;
  }
}
