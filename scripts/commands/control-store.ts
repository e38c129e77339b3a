import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { redisUrlOption } from "@gatehouse/shared/common-options";
import { readConfig, type Environment } from "@gatehouse/shared/read-config";
import { demoRedisUrl } from "../demo/demo-redis.ts";
import { connected } from "./connected.ts";

const VARIABLES = ["REDIS_URL", "REDIS_URL_FILE", "CREDENTIALS_DIRECTORY"];

/**
 * Returns the URL of the server with routes and host configs: REDIS_URL, else that of a demo that runs here, else the usual place.
 * @throws {ConfigError} for a URL that can't be read
 */
export async function controlPlace(env: Environment): Promise<string> {
  const { redisUrl } = readConfig({ redisUrl: redisUrlOption }, env);
  return (VARIABLES.some((name) => env[name]) ? undefined : await demoRedisUrl()) ?? redisUrl;
}

/**
 * Does some work on that server.
 * @throws {Error} when it does not answer, and whatever the work throws
 */
export async function withStore<T>(env: Environment, work: (redis: RedisClient) => Promise<T>): Promise<T> {
  const redis = openRedis({ url: await controlPlace(env), clientName: "gatehouse-cli" });
  try {
    await connected(redis, "REDIS_URL");
    return await work(redis);
  } finally {
    await closeRedis(redis);
  }
}
