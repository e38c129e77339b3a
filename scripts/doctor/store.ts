import type { LogRecord } from "@gatehouse/shared/log-record";
import { redisUrlOption } from "@gatehouse/shared/common-options";
import { readConfig, type Environment } from "@gatehouse/shared/read-config";
import { newestRecords } from "@gatehouse/shared/record-query";
import type { RecordFilter } from "@gatehouse/shared/record-filter";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { readText } from "@gatehouse/shared/stored-text";
import { connected } from "../commands/connected.ts";
import { demoRedisUrl } from "../demo/demo-redis.ts";
import { recordPlace } from "../log/record-place.ts";

/** Records of one examination that are looked at; a host in use has others in between. */
const MOST_RECORDS = 2000;

/** What the installation itself knows, where the doctor may ask it: control plane and traffic record. */
export class DoctorStore {
  readonly #control: RedisClient | undefined;
  readonly #record: RedisClient | undefined;
  /** Why there is no control plane to ask. */
  readonly controlProblem: string;
  /** Why there is no record to ask. */
  readonly recordProblem: string;

  private constructor(control: Opened<RedisClient>, record: Opened<RedisClient>) {
    this.#control = control.redis;
    this.#record = record.redis;
    this.controlProblem = control.problem;
    this.recordProblem = record.problem;
  }

  /** Opens what the environment, or a demo that runs here, names. Never rejects for a server that is away. */
  static async open(env: Environment): Promise<DoctorStore> {
    const url = await controlUrl(env);
    const isRecordApart = ["LOG_REDIS_URL", "LOG_REDIS_URL_FILE"].some((name) => env[name]);
    if (url === undefined && !isRecordApart) {
      const problem = "no REDIS_URL is set and no demo runs here";
      return new DoctorStore({ redis: undefined, problem }, { redis: undefined, problem });
    }
    const [control, record] = await Promise.all([openControl(url), openRecord(env)]);
    return new DoctorStore(control, record);
  }

  get hasControl(): boolean {
    return this.#control !== undefined;
  }

  get hasRecord(): boolean {
    return this.#record !== undefined;
  }

  async get(key: string): Promise<string | undefined> {
    return (this.#control && (await readText(this.#control, key))) ?? undefined;
  }

  /** Oldest first. */
  async records(filter: RecordFilter, limit: number = MOST_RECORDS): Promise<readonly LogRecord[]> {
    return this.#record === undefined ? [] : await newestRecords(this.#record, filter, { limit });
  }

  async close(): Promise<void> {
    if (this.#control) await closeRedis(this.#control);
    if (this.#record) await closeRedis(this.#record);
  }
}

interface Opened<Connection> {
  readonly redis: Connection | undefined;
  readonly problem: string;
}

async function controlUrl(env: Environment): Promise<string | undefined> {
  const isGiven = ["REDIS_URL", "REDIS_URL_FILE", "CREDENTIALS_DIRECTORY"].some((name) => env[name]);
  return isGiven ? readConfig({ redisUrl: redisUrlOption }, env).redisUrl : await demoRedisUrl();
}

async function openControl(url: string | undefined): Promise<Opened<RedisClient>> {
  if (url === undefined) return { redis: undefined, problem: "no REDIS_URL is set and no demo runs here" };
  const redis = openRedis({ url, clientName: "gatehouse-doctor" });
  try {
    await connected(redis, "REDIS_URL");
    return { redis, problem: "" };
  } catch (error) {
    await closeRedis(redis);
    return { redis: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}

async function openRecord(env: Environment): Promise<Opened<RedisClient>> {
  let redis: RedisClient | undefined;
  try {
    redis = openRedis({ url: await recordPlace(env), clientName: "gatehouse-doctor" });
    await connected(redis, "LOG_REDIS_URL or REDIS_URL");
    return { redis, problem: "" };
  } catch (error) {
    if (redis) await closeRedis(redis);
    return { redis: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}
