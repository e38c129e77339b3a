import { redisUrlOption } from "@gatehouse/shared/common-options";
import type { Hostname } from "@gatehouse/shared/hostname";
import { readConfig, splitList, textOption, type Environment } from "@gatehouse/shared/read-config";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { UsageError } from "./command.ts";

const options = {
  // Not used here: so that a bad one is told together with a bad key.
  redisUrl: redisUrlOption,
  secretKey: textOption({
    env: "GATEHOUSE_SECRET_KEY",
    describe: "The instances' own secret key.",
    expected: "a key as the instances have it",
    secret: true,
    parse: (text) => (SealingKeys.parse(text, []) === undefined ? undefined : text),
  }),
  oldSecretKeys: textOption({
    env: "GATEHOUSE_SECRET_KEYS_OLD",
    describe: "Former secret keys, comma separated.",
    expected: "keys, comma separated",
    fallback: "",
    secret: true,
    parse: splitList,
  }),
};

/**
 * Returns what seals and opens the values of a hostname.
 * @throws {ConfigError} without a usable key, {@link UsageError} for the key of another hostname
 */
export function sealingKeysFor(hostname: Hostname, env: Environment): SealingKeys {
  const config = readConfig(options, env);
  const keys = SealingKeys.parse(config.secretKey, config.oldSecretKeys)?.forHostname(hostname);
  if (keys === undefined)
    throw new UsageError(`the secret key given is good for another hostname than ${hostname}`);
  return keys;
}
