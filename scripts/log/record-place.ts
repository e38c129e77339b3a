import { NO_RECORD_STORE, recordOptions } from "@gatehouse/shared/common-options";
import { readConfig, type Environment } from "@gatehouse/shared/read-config";
import { controlPlace } from "../commands/control-store.ts";

const { logRedisUrl } = recordOptions;

/**
 * Returns the URL of the server that keeps the record: LOG_REDIS_URL, else REDIS_URL, else that of a demo that runs here, else Redis
 * in its usual place.
 * @throws {ConfigError} for a URL that can't be read, {@link Error} when nothing is stored
 */
export async function recordPlace(env: Environment): Promise<string> {
  const config = readConfig({ logRedisUrl }, env);
  if (config.logRedisUrl === NO_RECORD_STORE) {
    throw new Error(
      "LOG_REDIS_URL is off: nothing is stored, the records are on the consoles of the processes",
    );
  }
  return config.logRedisUrl ?? (await controlPlace(env));
}
