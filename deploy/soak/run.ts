import { setTimeout as delay } from "node:timers/promises";
import { exceeding, restingSizes, sizesBackAt, type Sizes } from "../test/support/held-size.ts";
import { HOSTS, MAX_RECORDS, OPEN, RESTARTED, SoakBed } from "./bed.ts";
import type { Held, RedisHeld, Run } from "./state.ts";
import { Traffic } from "./traffic.ts";

/** Before the first measurement: what a process allocates once is not a leak, and the longest life (180 s) has ended once. */
const WARM_UP_MS = 240_000;
/** Before a measurement nothing is restarted for so long: a process that has just begun holds less than one that has met everything. */
const UNDISTURBED_MS = 30_000;
/** Between two changes. */
const ROUND_MS = 10_000;
/** What Redis may hold: itself, the record at its bound (docs/storage.md), and for each OAuth key twice what one takes. */
const REDIS_EMPTY_BYTES = 8 * 2 ** 20;
const RECORD_BYTES = 600;
const OAUTH_KEY_BYTES = 4096;
const MIB = 2 ** 20;
/** Records of one process that are shown when something failed. */
const MAX_REFUSALS = 20;

export interface RunOptions {
  readonly minutes: number;
  /** In runs of an odd number the dispatcher is restarted too; in the others its memory is that of one process. */
  readonly number: number;
  readonly commit: string;
  /** Ends the run before its time, with what was measured until then. */
  readonly signal: AbortSignal;
  readonly say: (text: string) => void;
}

/** Runs mixed traffic for so many minutes, with something restarted, renewed or changed every ten seconds. */
export async function soak(options: RunOptions): Promise<Run> {
  const bed = await SoakBed.start();
  try {
    return await new Soak(bed, options).run();
  } finally {
    await bed.stop();
  }
}

class Soak {
  readonly #bed: SoakBed;
  readonly #options: RunOptions;
  #events: Record<string, number> = {};

  constructor(bed: SoakBed, options: RunOptions) {
    this.#bed = bed;
    this.#options = options;
  }

  async run(): Promise<Run> {
    const { minutes, commit, say } = this.#options;
    const day = new Date().toISOString();
    say("warming up");
    await this.#go(WARM_UP_MS);
    const before = await restingSizes(() => this.#bed.pids());
    const startedAt = performance.now();
    this.#events = {};
    say("measured, going on");
    const traffic = await this.#go(minutes * 60_000);
    const measuredMinutes = (performance.now() - startedAt) / 60_000;
    const after = await this.#after(before);
    const redis = await this.#redisHeld();
    const held = Object.entries(before).map(([role, size]) => heldBy(role, size, after[role]));
    const failed = Object.entries(traffic.counts).filter(([, count]) => count.failed > 0);
    for (const problem of traffic.problems) say(`  ${problem}`);
    if (failed.length > 0) this.#sayRefusals();
    const missed = [
      ...failed.map(([kind, count]) => `${kind}: ${count.failed} failed`),
      ...exceeding(after, before).map((role) => `${role} holds more`),
      ...(redis.megabytes > redis.boundMegabytes ? ["Redis is over its bound"] : []),
      ...(redis.endless > 0 ? [`${redis.endless} keys have no end`] : []),
    ];
    const { counts } = traffic;
    return { day, commit, minutes: measuredMinutes, counts, events: this.#events, held, redis, missed };
  }

  /** Traffic and changes for so long; resolves when all is quiet again. */
  async #go(milliseconds: number): Promise<Traffic> {
    const { signal } = this.#options;
    const traffic = await Traffic.start(this.#bed);
    const until = performance.now() + milliseconds;
    for (let round = 0; performance.now() < until && !signal.aborted; round += 1) {
      await delay(Math.max(0, Math.min(ROUND_MS, until - performance.now())), undefined, { signal }).catch(
        () => undefined,
      );
      if (until - performance.now() >= UNDISTURBED_MS) await this.#change(round, traffic);
    }
    await traffic.stop();
    return traffic;
  }

  async #change(round: number, traffic: Traffic): Promise<void> {
    const { gatehouse } = this.#bed;
    const { dispatcher } = gatehouse;
    const instance = gatehouse.instance(RESTARTED);
    switch (round % 5) {
      case 0:
        this.#count("config changes");
        return await this.#bed.gatehouse.configure(OPEN, this.#openConfig(round));
      case 1:
        this.#count("certificate renewals");
        for (const host of HOSTS) await gatehouse.authority.issue([host]);
        return;
      case 2:
        this.#count("restarts of an instance");
        return await traffic.interrupt(RESTARTED, () => instance.restart());
      case 3:
        this.#count("kills of an instance");
        return await traffic.interrupt(RESTARTED, async () => {
          await instance.kill();
          await instance.start();
        });
      default:
        if (this.#options.number % 2 === 0) return;
        this.#count("restarts of the dispatcher");
        return await traffic.interrupt("dispatcher", () => dispatcher.restart());
    }
  }

  #openConfig(round: number): Record<string, unknown> {
    return {
      target_url: this.#bed.upstream.url,
      certificate: "file",
      custom_headers: { "X-Round": String(round) },
    };
  }

  /** What the processes have to say about what failed; those of restarts are among it. */
  #sayRefusals(): void {
    const { gatehouse } = this.#bed;
    for (const { role, records } of [
      gatehouse.dispatcher,
      ...HOSTS.map((host) => gatehouse.instance(host)),
    ]) {
      const refusals = records.all(/refused: (?!no_token)|TLS failed|certificate_bad/).slice(-MAX_REFUSALS);
      for (const { text } of refusals) this.#options.say(`    ${role}: ${text.split("\n", 1)[0]}`);
    }
  }

  #count(what: string): void {
    this.#events[what] = (this.#events[what] ?? 0) + 1;
  }

  /** Back at what it was, or what it is when it does not come back. */
  async #after(before: Sizes): Promise<Sizes> {
    const pids = (): Readonly<Record<string, number>> => this.#bed.pids();
    await restingSizes(pids);
    return await sizesBackAt(before, pids).catch(async () => await restingSizes(pids));
  }

  async #redisHeld(): Promise<RedisHeld> {
    const { store } = this.#bed.gatehouse;
    const memory = Number(/^used_memory:(\d+)/m.exec(await store.info("memory"))?.[1] ?? "0");
    const keys = await store.keys("oauth:*");
    let endless = 0;
    for (const key of keys) {
      if (!key.startsWith("oauth:key:") && !key.startsWith("oauth:pin:") && (await store.ttl(key)) === -1)
        endless += 1;
    }
    const bound = REDIS_EMPTY_BYTES + MAX_RECORDS * RECORD_BYTES + keys.length * OAUTH_KEY_BYTES;
    return {
      megabytes: memory / MIB,
      boundMegabytes: bound / MIB,
      keys: await store.dbsize(),
      endless,
    };
  }
}

function heldBy(role: string, before: Sizes[string], after: Sizes[string] | undefined): Held {
  return {
    role,
    descriptors: [before?.descriptors ?? 0, after?.descriptors ?? 0],
    megabytes: [(before?.residentBytes ?? 0) / MIB, (after?.residentBytes ?? 0) / MIB],
  };
}
