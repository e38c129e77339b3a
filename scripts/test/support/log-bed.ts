import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { LogRecord } from "@gatehouse/shared/log-record";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { RecordStore } from "@gatehouse/shared/record-store";
import { StoredBatch } from "@gatehouse/shared/stored-batch";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { runScript, type Ran } from "./command-bed.ts";

const SCRIPTS = join(import.meta.dirname, "../..");

/** A stored record of its own, and the commands that read it. */
export class LogBed {
  readonly server: PrivateRedis;
  readonly redis: RedisClient;
  readonly #store: RecordStore;
  #batch = 0;

  private constructor(server: PrivateRedis, redis: RedisClient) {
    this.server = server;
    this.redis = redis;
    this.#store = new RecordStore(redis, { maxRecords: 100_000, maxAgeMs: 30 * 86_400_000 });
  }

  static async open(): Promise<LogBed> {
    const server = await startPrivateRedis();
    const redis = openRedis({ url: server.url, clientName: "test" });
    await once(redis, "ready");
    return new LogBed(server, redis);
  }

  async close(): Promise<void> {
    await closeRedis(this.redis);
    await this.server.stop();
  }

  async store(records: readonly LogRecord[]): Promise<void> {
    const batch = new StoredBatch();
    for (const record of records) batch.add(record);
    await this.#store.append(++this.#batch, batch);
  }

  get environment(): Record<string, string | undefined> {
    return { PATH: process.env["PATH"], REDIS_URL: this.server.url };
  }

  /** Runs a command of `scripts/` to its end. */
  run(command: readonly string[], env: Record<string, string> = {}): Ran {
    const [name = "", ...args] = command;
    return runScript(name, args, { ...this.environment, ...env });
  }

  /** Runs `gatehouse log …`. */
  log(...args: string[]): Ran {
    return this.run(["gatehouse", "log", ...args]);
  }

  start(args: readonly string[]): ChildProcess {
    return spawn(join(SCRIPTS, "gatehouse"), ["log", ...args], {
      env: this.environment,
      stdio: ["ignore", "pipe", "pipe"],
    });
  }
}
