import { X509Certificate } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { notBeforeWhenAsked, readAttempts, UNDER_WAY } from "@gatehouse/shared/acme-attempts";
import { RENEWAL_REQUEST_TTL_MS, type RenewalRequest } from "@gatehouse/shared/acme-renewal-request";
import type { Hostname } from "@gatehouse/shared/hostname";
import {
  acmeAttemptsKey,
  acmeLockKey,
  acmeRenewalRequestKey,
  certificateKey,
} from "@gatehouse/shared/redis-keys";
import { parseStoredCertificate } from "@gatehouse/shared/stored-certificate";
import { readText } from "@gatehouse/shared/stored-text";

/** Milliseconds between two looks at what became of a request. */
const LOOK_MS = 200;
/** A running instance takes a request within a second, unless another one is at it. */
const TAKEN_WITHIN_MS = 5000;

export type RenewalOutcome =
  /** `notAfter` in milliseconds since the epoch. */
  | { readonly state: "issued"; readonly notAfter: number }
  | { readonly state: "failed"; readonly problem: string; readonly nextAt: number }
  /** Nothing is asked of the authority before `until`; the request waits for it. */
  | { readonly state: "held"; readonly until: number }
  /** Longer than was to be waited. */
  | { readonly state: "under_way" }
  /** No instance acts on it. The request was withdrawn. */
  | { readonly state: "not_taken" };

interface Seen {
  readonly certificate: string | null;
  readonly attempts: string | null;
  readonly isTaken: boolean;
  readonly isLocked: boolean;
}

/** Asks the running instances of a hostname for a new certificate; several askers at once ask once. Returns what takes it back. */
export async function requestRenewal(redis: RedisClient, hostname: Hostname): Promise<() => Promise<void>> {
  const key = acmeRenewalRequestKey(hostname);
  const request: RenewalRequest = { asked_at: Date.now() };
  const text = JSON.stringify(request);
  await redis.set(key, text, "PX", RENEWAL_REQUEST_TTL_MS);
  return async () => {
    if ((await readText(redis, key)) === text) await redis.del(key);
  };
}

/** Asks, and waits at most `waitMs` for what comes of it. */
export async function askRenewal(
  redis: RedisClient,
  hostname: Hostname,
  waitMs: number,
): Promise<RenewalOutcome> {
  const before = await look(redis, hostname);
  const withdraw = await requestRenewal(redis, hostname);
  const since = performance.now();
  for (;;) {
    await delay(LOOK_MS);
    const seen = await look(redis, hostname);
    const outcome = outcomeOf(before, seen);
    if (outcome !== undefined) return outcome;
    const waited = performance.now() - since;
    const isIdle = !seen.isTaken && !seen.isLocked && waited > Math.min(TAKEN_WITHIN_MS, waitMs);
    if (isIdle) {
      const until = notBeforeWhenAsked(readAttempts(seen.attempts));
      if (until > Date.now()) return { state: "held", until };
      await withdraw();
      return { state: "not_taken" };
    }
    if (waited > waitMs) return { state: "under_way" };
  }
}

async function look(redis: RedisClient, hostname: Hostname): Promise<Seen> {
  const [certificate, attempts, request, lock] = await Promise.all(
    [certificateKey, acmeAttemptsKey, acmeRenewalRequestKey, acmeLockKey].map(
      async (keyOf) => await readText(redis, keyOf(hostname)),
    ),
  );
  return {
    certificate: certificate ?? null,
    attempts: attempts ?? null,
    isTaken: (request ?? null) === null,
    isLocked: (lock ?? null) !== null,
  };
}

function outcomeOf(before: Seen, seen: Seen): RenewalOutcome | undefined {
  if (seen.certificate !== null && seen.certificate !== before.certificate) {
    const pem = parseStoredCertificate(seen.certificate)?.fullchain_pem;
    if (pem !== undefined) return { state: "issued", notAfter: Date.parse(new X509Certificate(pem).validTo) };
  }
  const attempts = readAttempts(seen.attempts);
  const isOver = seen.isTaken && seen.attempts !== before.attempts && attempts?.problem !== UNDER_WAY;
  if (!isOver || attempts === undefined || attempts.failures === 0) return undefined;
  return { state: "failed", problem: attempts.problem, nextAt: attempts.not_before };
}
