import { on } from "node:events";
import { readFile } from "node:fs/promises";
import { acmeChallengeKey } from "@gatehouse/shared/redis-keys";
import type { AcmeConfig } from "../acme-options.ts";
import { checkKeyPair, type Certificate } from "@gatehouse/shared/certificate";
import { readAccount, writeAccount, type AccountPlace } from "./account.ts";
import { GO_ON, type OrderInput, type OrderResult, type OrderStep } from "./order-messages.ts";
import { renewalIdentifier } from "./renewal-info.ts";

/** A whole attempt; an authority that takes longer is tried again later. Also how long a challenge is answered at most. */
const ATTEMPT_TIMEOUT_MS = 300_000;
/** The library and a chain need a tenth of it; what grows beyond ends the attempt and not the instance. */
const THREAD_HEAP_MIB = 128;

export interface IssuanceOptions extends Omit<AccountPlace, "directoryUrl"> {
  readonly acme: AcmeConfig & { readonly acmeEmail: string };
  /** Ends the attempt, as does the loss of the lock. */
  readonly signal: AbortSignal;
  /** PEM of the certificate from the same authority that is to be replaced. */
  readonly replaced: string | undefined;
}

export type Issued =
  | { readonly ok: true; readonly certificate: Certificate }
  | { readonly ok: false; readonly reason: string; readonly retryAfterMs?: number | undefined };

/** Reads the roots of a private authority; undefined when the public ones are meant. @throws when the file can't be read */
export async function readRoots({ acmeCaFile }: AcmeConfig): Promise<string | undefined> {
  return acmeCaFile === undefined ? undefined : readFile(acmeCaFile, "utf8");
}

/** One attempt at a certificate, from the account to the checked chain. Never rejects. */
export async function issue(options: IssuanceOptions): Promise<Issued> {
  const { acme, hostname, lock } = options;
  const signal = AbortSignal.any([options.signal, lock.lost, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]);
  const place = { ...options, directoryUrl: acme.acmeDirectoryUrl };
  const challengeKey = acmeChallengeKey(hostname);
  try {
    await lock.read(challengeKey);
    const result = await runThread(await inputOf(options, place), signal, async (step) => {
      if (step.kind === "account") return writeAccount(place, step.account);
      const value = JSON.stringify(step.challenge);
      return lock.write([{ key: challengeKey, value, ttlMs: ATTEMPT_TIMEOUT_MS }]);
    });
    if (result.kind === "failed") {
      if (result.isAccountUnknown) await writeAccount(place, undefined);
      return { ok: false, ...result };
    }
    const read = checkKeyPair(result.pair, hostname);
    if (read.kind === "certificate") return { ok: true, certificate: read.certificate };
    return { ok: false, reason: `what was issued can't be used: ${read.problem}` };
  } catch (error) {
    return { ok: false, reason: ((signal.aborted ? signal.reason : error) as Error).message };
  } finally {
    await lock.write([{ key: challengeKey, value: null }]).catch(() => undefined);
  }
}

async function inputOf({ acme, replaced }: IssuanceOptions, place: AccountPlace): Promise<OrderInput> {
  return {
    hostname: place.hostname,
    directoryUrl: place.directoryUrl,
    roots: await readRoots(acme),
    email: acme.acmeEmail,
    challengeType: acme.acmeChallenge,
    account: await readAccount(place),
    replaces: replaced === undefined ? undefined : renewalIdentifier(replaced),
  };
}

/**
 * Runs an order in a thread of its own: the library blocks for half a second while it loads, which streams would see, and can't be
 * interrupted; a thread can, and takes its memory with it. Its environment is empty: no secret of ours is in reach.
 * @throws {Error} when the thread fails, a step can't be stored, or the signal says so
 */
async function runThread(
  input: OrderInput,
  signal: AbortSignal,
  store: (step: OrderStep) => Promise<void>,
): Promise<OrderResult> {
  const { Worker } = await import("node:worker_threads");
  const isSource = import.meta.url.endsWith(".ts");
  const thread = new Worker(new URL(`./order-thread.${isSource ? "ts" : "js"}`, import.meta.url), {
    workerData: input,
    env: {},
    execArgv: isSource ? ["--conditions=source"] : [],
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MIB },
  });
  try {
    for await (const [message] of on(thread, "message", { signal, close: ["exit"] })) {
      const said = message as OrderStep | OrderResult;
      if (said.kind === "issued" || said.kind === "failed") return said;
      await store(said);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
      thread.postMessage(GO_ON);
    }
    throw new Error("the thread of the order ended before the order did");
  } finally {
    await thread.terminate();
  }
}
