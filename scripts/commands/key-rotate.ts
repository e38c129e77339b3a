import { parseArgs } from "node:util";
import { redisUrlOption } from "@gatehouse/shared/common-options";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { readConfig, splitList, textOption, type Environment } from "@gatehouse/shared/read-config";
import { closeRedis, openRedis } from "@gatehouse/shared/redis-connection";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { rotateSigningKeys } from "@gatehouse/shared/signing-key-record";
import { UsageError, type Command } from "./command.ts";
import { connected } from "./connected.ts";

/**
 * The longest access-token life that an instance can be given (`GATEHOUSE_ACCESS_TOKEN_SECONDS`), in seconds: the command doesn't know each
 * instance's own, and a retired key that is kept too long costs nothing.
 */
const LONGEST_TOKEN_LIFE_SECONDS = 86_400;

const options = {
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

/** `gatehouse key rotate HOST`: a new signing key; the old one verifies on until its last token has ended. */
export const keyRotate: Command = {
  name: "key rotate",
  summary: "a new signing key for a host; tokens of the old one stay good",
  options: ["--json", "--help"],
  help: `Usage: gatehouse key rotate HOST [--json]

Makes a new signing key for the host's access tokens. Running instances take it within a second; nothing is restarted. The old
key verifies until the last token it signed has ended, then it leaves /jwks.

Needs REDIS_URL and GATEHOUSE_SECRET_KEY (or their _FILE forms) as the instances have them.

Example: gatehouse key rotate simple-oauth.example.com`,
  async run(args, env) {
    const { hostname, isJson } = readArguments(args);
    const kid = await rotate(hostname, env);
    process.stdout.write(
      isJson
        ? `${JSON.stringify({ hostname, kid })}\n`
        : `${hostname} signs with ${kid} from now on; tokens of the old key stay good until they end\n`,
    );
  },
};

function readArguments(args: readonly string[]): { hostname: Hostname; isJson: boolean } {
  const { values, positionals } = parsed(args);
  const [name = "", ...more] = positionals;
  const hostname = parseHostname(name);
  if (!hostname.ok || more.length > 0)
    throw new UsageError("key rotate takes one hostname: gatehouse key rotate HOST");
  return { hostname: hostname.hostname, isJson: values.json };
}

function parsed(args: readonly string[]) {
  try {
    const json = { type: "boolean", default: false } as const;
    return parseArgs({ args: [...args], allowPositionals: true, options: { json } });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

async function rotate(hostname: Hostname, env: Environment): Promise<string> {
  const config = readConfig(options, env);
  const sealing = SealingKeys.parse(config.secretKey, config.oldSecretKeys)?.forHostname(hostname);
  if (!sealing) throw new UsageError(`the secret key given is good for another hostname than ${hostname}`);
  const redis = openRedis({ url: config.redisUrl, clientName: "gatehouse-cli" });
  try {
    await connected(redis, "REDIS_URL");
    return await rotateSigningKeys({ redis, hostname, sealing }, LONGEST_TOKEN_LIFE_SECONDS);
  } finally {
    await closeRedis(redis);
  }
}
