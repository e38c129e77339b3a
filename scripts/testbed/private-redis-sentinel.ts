import type { ChildProcess } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { freePorts } from "./free-ports.ts";
import { endProcess, startGuarded } from "./guarded-process.ts";
import { startPrivateRedis, type PrivateRedis } from "./private-redis.ts";
import { findRedis } from "./redis-program.ts";

const LOOPBACK = "127.0.0.1";
const NAME = "main";
const SENTINELS = 3;
/** How long a Sentinel waits for a server before it calls it down. */
const DOWN_AFTER_MS = 500;
const READY_TIMEOUT_MS = 20_000;

/** A master and a replica under three Sentinels that belong to the caller alone. */
export interface PrivateRedisSentinel {
  /** `redis+sentinel://…`. */
  readonly url: string;
  /** Ends the present master as a crash would, and waits until the Sentinels have made another. */
  failOver(): Promise<void>;
  /** Makes the replica the master as an operator does who wants to restart the other, which lives on as a replica. */
  switchOver(): Promise<void>;
  /** Sends a signal to the Sentinel that the URL names first: SIGSTOP freezes it, and the other two are a majority. */
  signalFirst(signal: NodeJS.Signals): void;
  /** Returns how many Sentinels have somebody who hears what they publish. */
  countHeard(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts them on loopback ports; resolves when the Sentinels know each other and the replica is in step. */
export async function startPrivateRedisSentinel(): Promise<PrivateRedisSentinel> {
  const ports = await freePorts(2 + SENTINELS);
  const [master = 0, replica = 0, ...sentinelPorts] = ports;
  const directory = await mkdtemp(join(tmpdir(), "gatehouse-sentinel-"));
  const bed = new SentinelBed(directory, sentinelPorts);
  try {
    await bed.start(master, replica);
    return bed;
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

class SentinelBed implements PrivateRedisSentinel {
  readonly url: string;
  readonly #directory: string;
  readonly #sentinelPorts: readonly number[];
  readonly #servers = new Map<number, PrivateRedis>();
  readonly #sentinels: ChildProcess[] = [];
  #clients: readonly Redis[] = [];

  constructor(directory: string, sentinelPorts: readonly number[]) {
    this.#directory = directory;
    this.#sentinelPorts = sentinelPorts;
    this.url = `redis+sentinel://${sentinelPorts.map((port) => `${LOOPBACK}:${port}`).join(",")}/${NAME}`;
  }

  async start(master: number, replica: number): Promise<void> {
    await this.#startServer(master, []);
    await this.#startServer(replica, ["--replicaof", LOOPBACK, String(master)]);
    for (const port of this.#sentinelPorts) await this.#startSentinel(port, master);
    this.#clients = this.#sentinelPorts.map((port) => new Redis({ host: LOOPBACK, port }));
    for (const client of this.#clients) client.on("error", () => undefined);
    await this.#until(async () => {
      const about = await this.#about();
      return about["num-other-sentinels"] === String(SENTINELS - 1) && about["num-slaves"] === "1";
    });
  }

  signalFirst(signal: NodeJS.Signals): void {
    this.#sentinels[0]?.kill(signal);
  }

  async countHeard(): Promise<number> {
    const lists = await Promise.all(this.#clients.map((client) => client.client("LIST")));
    return lists.filter((list) => / cmd=subscribe /.test(String(list))).length;
  }

  async failOver(): Promise<void> {
    const former = await this.#masterPort();
    await this.#servers.get(former)?.kill("SIGKILL");
    await this.#until(async () => (await this.#masterPort()) !== former);
  }

  async switchOver(): Promise<void> {
    const former = await this.#masterPort();
    // Refused as long as the replica is not in step, and while the exchange before this one goes on.
    await this.#until(async () => (await this.#clients.at(-1)?.call("SENTINEL", "FAILOVER", NAME)) === "OK");
    await this.#until(async () => (await this.#masterPort()) !== former);
  }

  async stop(): Promise<void> {
    for (const client of this.#clients) client.disconnect();
    await Promise.all(this.#sentinels.map((child) => endProcess(child, "SIGKILL", 1000)));
    await Promise.all([...this.#servers.values()].map((server) => server.stop()));
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #startServer(port: number, more: readonly string[]): Promise<void> {
    const args = ["--port", String(port), "--bind", LOOPBACK, "--repl-diskless-sync-delay", "0", ...more];
    this.#servers.set(port, await startPrivateRedis({ args }));
  }

  /** A Sentinel writes what it learns into its own configuration file. */
  async #startSentinel(port: number, master: number): Promise<void> {
    const file = join(this.#directory, `${port}.conf`);
    const lines = [
      `port ${port}`,
      `bind ${LOOPBACK}`,
      `dir ${this.#directory}`,
      `sentinel monitor ${NAME} ${LOOPBACK} ${master} 2`,
      `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
      `sentinel failover-timeout ${NAME} 3000`,
    ];
    await writeFile(file, `${lines.join("\n")}\n`);
    const { server, environment } = await findRedis();
    const child = startGuarded(server, [file, "--sentinel"], { env: { ...process.env, ...environment } });
    this.#sentinels.push(child);
  }

  async #masterPort(): Promise<number> {
    return Number((await this.#about())["port"]);
  }

  /** The last Sentinel is asked: the first may be frozen. */
  async #about(): Promise<Record<string, string>> {
    const pairs = (await this.#clients.at(-1)?.call("SENTINEL", "MASTER", NAME)) as
      | string[]
      | Record<string, string>;
    if (!Array.isArray(pairs)) return pairs;
    return Object.fromEntries(
      pairs.flatMap((name, at) => (at % 2 === 0 ? [[name, pairs[at + 1] ?? ""]] : [])),
    );
  }

  async #until(holds: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!(await holds().catch(() => false))) {
      if (performance.now() > deadline) throw new Error("the Sentinels did not come to terms");
      await delay(50);
    }
  }
}
