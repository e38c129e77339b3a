import { readFile } from "node:fs/promises";
import type { Redis } from "ioredis";
import type { AcmeChallenge } from "@gatehouse/shared/acme-challenge";
import type { Hostname } from "@gatehouse/shared/hostname";
import { acmeChallengeKey } from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { AcmeConfig } from "../acme-options.ts";
import { checkKeyPair, type Certificate } from "../certificate.ts";
import { forgetAccount, openAccount } from "./account.ts";
import type { IssuerLock } from "./issuer-lock.ts";
import { orderCertificate } from "./order.ts";
import { renewalIdentifier, renewalInfoUrl } from "./renewal-info.ts";
import { AcmeTransport, loadAcmeLibrary } from "./transport.ts";

/** A whole attempt; an authority that takes longer is tried again later. Also how long a challenge is answered at most. */
const ATTEMPT_TIMEOUT_MS = 300_000;
const MAX_REASON_LENGTH = 500;

export interface IssuanceOptions {
  readonly hostname: Hostname;
  readonly redis: Redis;
  readonly sealing: SealingKeys;
  readonly acme: AcmeConfig & { readonly acmeEmail: string };
  readonly lock: IssuerLock;
  /** Ends the attempt, as does the loss of the lock. */
  readonly signal: AbortSignal;
  /** PEM of the certificate from the same authority that is to be replaced. */
  readonly replaced: string | undefined;
}

export type Issued =
  | { readonly ok: true; readonly certificate: Certificate }
  | { readonly ok: false; readonly reason: string; readonly retryAfterMs: number | undefined };

/** Reads the roots of a private authority and opens a way to it. @throws when the file can't be read */
export async function openTransport(acme: AcmeConfig, signal: AbortSignal): Promise<AcmeTransport> {
  const roots = acme.acmeCaFile === undefined ? undefined : await readFile(acme.acmeCaFile, "utf8");
  return new AcmeTransport({ roots, signal });
}

/** One attempt at a certificate, from the account to the checked chain. Never rejects. */
export async function issue(options: IssuanceOptions): Promise<Issued> {
  const { acme, hostname, lock } = options;
  const signal = AbortSignal.any([options.signal, lock.lost, AbortSignal.timeout(ATTEMPT_TIMEOUT_MS)]);
  let transport: AcmeTransport | undefined;
  try {
    const opened = await openTransport(acme, signal);
    transport = opened;
    return await opened.run(() => attempt(options, opened, signal));
  } catch (error) {
    const problem = transport?.problem;
    if (problem?.type.endsWith(":accountDoesNotExist") === true) {
      await forgetAccount({ hostname, directoryUrl: acme.acmeDirectoryUrl, lock }).catch(() => undefined);
    }
    const reason = reasonOf((signal.aborted ? signal.reason : error) as Error);
    return { ok: false, reason, retryAfterMs: problem && transport?.retryAfterMs };
  } finally {
    await lock.write([{ key: acmeChallengeKey(hostname), value: null }]).catch(() => undefined);
    await transport?.close();
  }
}

async function attempt(
  options: IssuanceOptions,
  transport: AcmeTransport,
  signal: AbortSignal,
): Promise<Issued> {
  const { acme, hostname, lock, replaced } = options;
  const { acmeDirectoryUrl: directoryUrl, acmeEmail: email, acmeChallenge: challengeType } = acme;
  const library = await loadAcmeLibrary();
  const client = await openAccount(library, { ...options, directoryUrl, email });
  // An authority without renewal information may refuse a member it does not know.
  const isReplacing = replaced !== undefined && (await renewalInfoUrl(transport, directoryUrl)) !== undefined;
  const publish = (challenge: AcmeChallenge): Promise<void> => {
    const value = JSON.stringify(challenge);
    return lock.write([{ key: acmeChallengeKey(hostname), value, ttlMs: ATTEMPT_TIMEOUT_MS }]);
  };
  const pair = await orderCertificate({
    library,
    client,
    transport,
    hostname,
    challengeType,
    replaces: isReplacing ? renewalIdentifier(replaced) : undefined,
    signal,
    publish,
  });
  const read = checkKeyPair(pair, hostname);
  if (read.kind === "certificate") return { ok: true, certificate: read.certificate };
  return { ok: false, reason: `what was issued can't be used: ${read.problem}`, retryAfterMs: undefined };
}

/** An authority's words are kept short; undici puts the reason of a failed connection into `cause`. */
function reasonOf(error: Error): string {
  const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
  return `${error.message || error.name}${cause}`.slice(0, MAX_REASON_LENGTH);
}
