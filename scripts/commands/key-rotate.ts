import { rotateSigningKeys } from "@gatehouse/shared/signing-key-record";
import { hostnameOf } from "../hosts/host-words.ts";
import { answer } from "./answer.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";
import { sealingKeysFor } from "./secret-keys.ts";

/**
 * The longest access-token life that an instance can be given (`GATEHOUSE_ACCESS_TOKEN_SECONDS`), in seconds: the command doesn't know each
 * instance's own, and a retired key that is kept too long costs nothing.
 */
const LONGEST_TOKEN_LIFE_SECONDS = 86_400;

/** `gatehouse key rotate HOST`: a new signing key; the old one verifies on until its last token has ended. */
export const keyRotate = defineCommand({
  name: "key rotate",
  words: ["HOST"],
  summary: "a new signing key for a host; tokens of the old one stay good",
  options: {},
  about: `Makes a new signing key for the host's access tokens. Running instances take it within a second; nothing is restarted. The old
key verifies until the last token it signed has ended, then it leaves /jwks. Needs GATEHOUSE_SECRET_KEY (or its _FILE form) as the
instances have it.`,
  examples: ["gatehouse key rotate simple-oauth.example.com"],
  async run({ words, env, isJson }) {
    const hostname = hostnameOf(words[0]);
    const sealing = sealingKeysFor(hostname, env);
    const kid = await withStore(
      env,
      async (redis) => await rotateSigningKeys({ redis, hostname, sealing }, LONGEST_TOKEN_LIFE_SECONDS),
    );
    const text = `${hostname} signs with ${kid} from now on; tokens of the old key stay good until they end`;
    answer(isJson, { hostname, kid }, text);
  },
});
