import { parseListenAddress, type ListenAddress } from "./listen-address.ts";
import { LEVELS, type Level } from "./log-record.ts";
import { integerOption, optional, textOption, wordOption, type Option } from "./read-config.ts";
import { isRedisUrl, REDIS_URL_FORMS } from "./redis-url.ts";

/** Options that mean the same in every process, so that one env file can serve several. */

export const redisUrlOption: Option<string> = textOption({
  env: "REDIS_URL",
  describe: "Where routes, host configs and the records of OAuth are kept. The password is part of the URL.",
  expected: `a URL: ${REDIS_URL_FORMS}`,
  fallback: "redis://127.0.0.1:6379",
  secret: true,
  parse: (text) => (isRedisUrl(text) ? text : undefined),
});

export const publicPortOption: Option<number> = integerOption({
  env: "GATEHOUSE_PUBLIC_PORT",
  describe: "Port that peers connect to, as it stands in their URLs.",
  min: 1,
  max: 65_535,
  fallback: 443,
});

export const logLevelOption: Option<Level> = wordOption({
  env: "LOG_LEVEL",
  describe: "Least important records that are kept.",
  words: LEVELS,
  fallback: "info",
});

/** Value of `LOG_REDIS_URL` for a record that stands on the console only. */
export const NO_RECORD_STORE = "off";

/** The stored traffic record: where it is and how much of it is kept. */
export const recordOptions = {
  logRedisUrl: optional(
    textOption({
      env: "LOG_REDIS_URL",
      describe:
        "Where the traffic record is kept. Not set: on the server of REDIS_URL. `off`: records go to the console only.",
      expected: "a URL as for REDIS_URL, or off",
      secret: true,
      parse: (text) => (text === NO_RECORD_STORE || isRedisUrl(text) ? text : undefined),
    }),
  ),
  logMaxRecords: integerOption({
    env: "GATEHOUSE_LOG_MAX_RECORDS",
    describe:
      "Records kept at most, of all processes together; the same for all of them. About 450 bytes of Redis memory each.",
    min: 1000,
    max: 100_000_000,
    fallback: 1_000_000,
  }),
  logMaxDays: integerOption({
    env: "GATEHOUSE_LOG_MAX_DAYS",
    describe: "Days that a record is kept at most.",
    min: 1,
    max: 3650,
    fallback: 30,
  }),
};

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
