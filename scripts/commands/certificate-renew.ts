import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { parseHostConfig } from "@gatehouse/shared/host-config";
import { askRenewal, requestRenewal, type RenewalOutcome } from "../certificates/ask-renewal.ts";
import { hostnameOf } from "../hosts/host-words.ts";
import { readHost } from "../hosts/stored-host.ts";
import { answer } from "./answer.ts";
import { UsageError } from "./command.ts";
import { withStore } from "./control-store.ts";
import { defineCommand } from "./define-command.ts";

const DEFAULT_WAIT_SECONDS = 120;
/** An attempt ends within five minutes, and a dead issuer's lock within half a minute. */
const MAX_WAIT_SECONDS = 600;

/** `gatehouse cert renew HOST`: what the instance would do when the certificate is due, now. */
export const certRenew = defineCommand<"wait">({
  name: "cert renew",
  words: ["HOST"],
  summary: "have a host's instance get a new certificate now",
  options: {
    wait: {
      value: "SECONDS",
      describe: `how long to wait for it, 0 to ${MAX_WAIT_SECONDS} (${DEFAULT_WAIT_SECONDS}); 0: ask only`,
    },
  },
  about: `Asks the running instances of the host for a new certificate from their authority, whatever is left of the one they have, and waits for what
comes of it. One of them makes one attempt, and no stream is dropped. Earlier failures need not be sat out, once what was wrong is mended; the
wait that the authority asked for, and five failed attempts in an hour, hold all the same. Needs certificate: acme in the host config.`,
  examples: ["gatehouse cert renew simple.example.com", "gatehouse cert renew simple.example.com --wait 0"],
  async run(input) {
    const hostname = hostnameOf(input.words[0]);
    const waitSeconds = waitOf(input.text("wait"));
    await withStore(input.env, async (redis) => {
      await checkMode(redis, hostname);
      if (waitSeconds === 0) {
        await requestRenewal(redis, hostname);
        answer(input.isJson, { hostname, state: "asked" }, `${hostname}: asked its instances`);
        return;
      }
      const outcome = await askRenewal(redis, hostname, waitSeconds * 1000);
      if (outcome.state !== "issued") throw new Error(`${hostname}: ${whyNot(outcome, waitSeconds)}`);
      const until = new Date(outcome.notAfter).toISOString();
      const result = { hostname, state: outcome.state, not_after: until };
      answer(input.isJson, result, `${hostname}: a new certificate, good until ${until}`);
    });
  },
});

function waitOf(text: string | undefined): number {
  if (text === undefined) return DEFAULT_WAIT_SECONDS;
  const seconds = /^\d{1,3}$/.test(text) ? Number(text) : Number.NaN;
  if (!(seconds <= MAX_WAIT_SECONDS))
    throw new UsageError(`--wait takes seconds from 0 to ${MAX_WAIT_SECONDS}, not ${text}`);
  return seconds;
}

/** @throws {Error} when no instance would act on it */
async function checkMode(redis: RedisClient, hostname: Hostname): Promise<void> {
  const { config } = await readHost(redis, hostname);
  if (config === null) throw new Error(`there is no host ${hostname}`);
  const parsed = parseHostConfig(config);
  if (parsed.ok && parsed.config.certificate !== "acme")
    throw new Error(
      `${hostname} has certificate: ${parsed.config.certificate}, so its instance asks no authority: cert import, or host set ${hostname} --set certificate=acme`,
    );
}

function whyNot(outcome: Exclude<RenewalOutcome, { state: "issued" }>, waitedSeconds: number): string {
  switch (outcome.state) {
    case "failed":
      return `no certificate: ${outcome.problem}. The next attempt by itself: ${new Date(outcome.nextAt).toISOString()}`;
    case "held":
      return `earlier failures hold it back until ${new Date(outcome.until).toISOString()}; it is tried then`;
    case "under_way":
      return `not within ${waitedSeconds} s; it goes on, and cert show tells when it is there`;
    case "not_taken":
      return "no instance takes it up, and it was withdrawn. Does one run (gatehouse status), with GATEHOUSE_ACME_EMAIL and GATEHOUSE_ACME_TERMS_AGREED=yes?";
  }
}
