import { parseListenAddress, type ListenAddress } from "./listen-address.ts";
import { LEVELS, type Level } from "./log-record.ts";
import { optional, textOption, wordOption, type Option } from "./read-config.ts";
import { parseRedisUrl } from "./redis-connection.ts";

/** Options that mean the same in every process, so that one env file can serve several. */

export const redisUrlOption: Option<string> = textOption({
  env: "REDIS_URL",
  describe: "Where routes, host configs and the records of OAuth are kept. The password is part of the URL.",
  expected: "a URL such as redis://, rediss:// or unix:///path",
  fallback: "redis://127.0.0.1:6379",
  secret: true,
  parse: (text) => (parseRedisUrl(text) === undefined ? undefined : text),
});

export const logLevelOption: Option<Level> = wordOption({
  env: "LOG_LEVEL",
  describe: "Least important records that are kept.",
  words: LEVELS,
  fallback: "info",
});

/** `describe` says what the process keeps there. */
export function stateDirOption(describe: string): Option<string | undefined> {
  return optional(
    textOption({
      env: "GATEHOUSE_STATE_DIR",
      describe,
      expected: "an absolute path",
      parse: (text) => (text.startsWith("/") ? text : undefined),
    }),
  );
}

/** Where health, and what else is not for peers, is served; each process has a variable of its own, for two may share a machine. */
export function adminListenOption(env: string, describe: string): Option<ListenAddress | undefined> {
  return optional(
    textOption({
      env,
      describe,
      expected: "an address with a port, or unix:/path",
      parse: parseListenAddress,
    }),
  );
}
