import { NO_RECORD_STORE, recordOptions, redisUrlOption } from "@gatehouse/shared/common-options";
import { readConfig, type Environment } from "@gatehouse/shared/read-config";
import { demoRedisUrl } from "../demo/demo-redis.ts";

const { logRedisUrl } = recordOptions;

/**
 * Returns the URL of the server that keeps the record: LOG_REDIS_URL, else REDIS_URL, else that of a demo that runs here, else Redis
 * in its usual place.
 * @throws {ConfigError} for a URL that can't be read, {@link Error} when nothing is stored
 */
export async function recordPlace(env: Environment): Promise<string> {
  const config = readConfig({ logRedisUrl, redisUrl: redisUrlOption }, env);
  if (config.logRedisUrl === NO_RECORD_STORE) {
    throw new Error(
      "LOG_REDIS_URL is off: nothing is stored, the records are on the consoles of the processes",
    );
  }
  if (config.logRedisUrl !== undefined) return config.logRedisUrl;
  const isGiven = ["REDIS_URL", "REDIS_URL_FILE", "CREDENTIALS_DIRECTORY"].some((name) => env[name]);
  return (isGiven ? undefined : await demoRedisUrl()) ?? config.redisUrl;
}
