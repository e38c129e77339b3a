import { closeRedis, openRedis, readyWithin, type RedisClient } from "@gatehouse/shared/redis-connection";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { EventName, Level, RecordLog } from "@gatehouse/shared/log-record";
import { acmeAttemptsKey, acmeRenewalRequestKey, certificateKey } from "@gatehouse/shared/redis-keys";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import { parseStoredCertificate } from "@gatehouse/shared/stored-certificate";
import type { AcmeConfig } from "../acme-options.ts";
import {
  readStoredCertificate,
  storedCertificateText,
  type Certificate,
  type CertificateRead,
} from "@gatehouse/shared/certificate";
import {
  afterFailure,
  afterSuccess,
  ATTEMPTS_TTL_MS,
  parseAttempts,
  UNDER_WAY,
  type Attempts,
} from "@gatehouse/shared/acme-attempts";
import { parseRenewalRequest, RENEWAL_REQUEST_TTL_MS } from "@gatehouse/shared/acme-renewal-request";
import { AttemptHold } from "./attempt-hold.ts";
import type { Clock } from "./clock.ts";
import { issue, readRoots } from "./issuance.ts";
import { IssuerLock, LOCK_MS, type LockedWrite } from "./issuer-lock.ts";
import { askRenewalInfo } from "./renewal-info.ts";
import { renewalTime, type RenewalWindow } from "./renewal-time.ts";

export interface RenewalOptions {
  readonly hostname: Hostname;
  readonly redisUrl: string;
  /** Of this hostname. */
  readonly sealing: SealingKeys;
  readonly log: RecordLog;
  readonly acme: AcmeConfig;
  readonly clock: Clock;
}

export interface RenewalReport {
  /** `off`: the host config or the process's options do not ask for it. `failing`: the last attempt failed. */
  readonly state: "off" | "waiting" | "issuing" | "failing";
  /** When an authority is asked next, ISO 8601. */
  readonly next_at: string | undefined;
  readonly problem: string | undefined;
}

/** `source` of the certificates written here. */
const SOURCE = "acme";
/** How long a command waits for a connection that is just being opened. */
const STORE_WAIT_MS = 2000;
/** Redis is away, or another process is at it: looked at again after this, milliseconds. */
const LOOK_AGAIN_MS = LOCK_MS / 2;
/** Renewal information that could not be had is asked for again after this. */
const ASK_AGAIN_MS = 3_600_000;

const NOT_ASKED =
  "no certificate is asked for: set GATEHOUSE_ACME_EMAIL, and GATEHOUSE_ACME_TERMS_AGREED=yes once you agree to the authority's terms";

/**
 * Gets the certificate of a hostname and renews it, one attempt at a time across all its instances. The result is written to
 * `cert:{hostname}`, which every instance follows: this one learns of it like any other.
 */
export class CertificateRenewal {
  readonly #options: RenewalOptions;
  readonly #closing = new AbortController();
  #isStarted = false;
  #isWanted = false;
  /** Undefined until Redis was read. */
  #text: string | null | undefined;
  #stored: CertificateRead | undefined;
  #window: RenewalWindow | undefined;
  /** When the authority is asked for the window; infinite without a certificate. */
  #askAt = Infinity;
  readonly #hold = new AttemptHold();
  /** The request of an operator; null when there is none. */
  #asked: string | null = null;
  #isSaid = false;
  #isIssuing = false;
  #redis: RedisClient | undefined;
  #cancel: (() => void) | undefined;
  #running: Promise<void> | undefined;

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  /** Lets it ask: from now on the authority's check can be answered. */
  start(): void {
    this.#isStarted = true;
    this.#plan();
  }

  /** Follows the host config's `certificate`. */
  configure(mode: HostConfig["certificate"]): void {
    this.#isWanted = mode === "acme";
    this.#plan();
  }

  /** The value of `cert:{hostname}`, null when there is none. Never throws. */
  certificateTold(text: string | null): void {
    if (text === this.#text) return;
    const { hostname, sealing, clock } = this.#options;
    this.#text = text;
    this.#stored = text === null ? undefined : readStoredCertificate(text, hostname, sealing);
    this.#window = undefined;
    if (this.#known !== undefined) {
      // Another instance got it, or an operator stored it. Should it be due already, what failed is read again under the lock.
      this.#hold.know(undefined);
    }
    // Of a certificate that was imported the directory may know nothing.
    this.#askAt = this.#ownCertificate === undefined ? Infinity : clock.now();
    this.#plan();
  }

  /** The value of `acme:renew:{hostname}`, null when nobody asks. Never throws. */
  requestTold(text: string | null): void {
    this.#asked = text;
    this.#plan();
  }

  report(): RenewalReport {
    if (this.#email === undefined || !this.#isWanted) {
      return { state: "off", next_at: undefined, problem: this.#isWanted ? NOT_ASKED : undefined };
    }
    const dueAt = this.#dueAt();
    const problem = this.#unreadable ?? this.#hold.problem;
    const resting = problem === undefined ? "waiting" : "failing";
    return {
      state: this.#isIssuing ? "issuing" : resting,
      next_at: Number.isFinite(dueAt) ? new Date(dueAt).toISOString() : undefined,
      problem,
    };
  }

  /** Ends what is under way, and lets another instance continue. */
  async close(): Promise<void> {
    this.#closing.abort(new Error("the process stops"));
    this.#cancel?.();
    await this.#running;
    if (this.#redis) await closeRedis(this.#redis);
  }

  /** Undefined when the operator has not agreed to ask for certificates. */
  get #email(): string | undefined {
    const { acmeEmail, acmeTermsAgreed } = this.#options.acme;
    return acmeTermsAgreed === "yes" ? acmeEmail : undefined;
  }

  get #known(): Certificate | undefined {
    return this.#stored?.kind === "certificate" ? this.#stored.certificate : undefined;
  }

  /** The stored certificate, when it was issued here; one that was imported may be of another authority. */
  get #ownCertificate(): Certificate | undefined {
    return parseStoredCertificate(this.#text ?? "")?.source === SOURCE ? this.#known : undefined;
  }

  /** What can't be read is not overwritten: two processes with different secret keys would replace each other's for ever. */
  get #unreadable(): string | undefined {
    if (this.#stored === undefined || this.#stored.kind === "certificate") return undefined;
    return `${certificateKey(this.#options.hostname)} is not replaced: ${this.#stored.problem}`;
  }

  #dueAt(): number {
    if (this.#unreadable !== undefined) return Infinity;
    const isAsked = parseRenewalRequest(this.#asked) !== undefined;
    const known = isAsked ? undefined : this.#known;
    const due = known === undefined ? 0 : renewalTime(known.chainPem, this.#window);
    return Math.max(due, this.#hold.notBefore(isAsked));
  }

  /** Sets the one timer to what comes next. */
  #plan(): void {
    this.#cancel?.();
    const isOff = !this.#isStarted || !this.#isWanted || this.#text === undefined;
    if (isOff || this.#closing.signal.aborted || this.#running) return;
    if (this.#email === undefined) {
      if (!this.#isSaid && this.#text === null) this.#say("certificate_failed", NOT_ASKED);
      this.#isSaid = true;
      return;
    }
    const { clock } = this.#options;
    const next = Math.min(this.#dueAt(), this.#askAt);
    if (Number.isFinite(next)) {
      this.#cancel = clock.after(Math.max(0, next - clock.now()), () => this.#wake(this.#email ?? ""));
    }
  }

  #wake(email: string): void {
    this.#running = this.#work(email)
      .catch((error: unknown) => {
        // Only Redis gets here: nothing was asked of the authority, or its answer could not be kept.
        this.#hold.lookAgain(this.#options.clock.now() + LOOK_AGAIN_MS, (error as Error).message);
      })
      .finally(() => {
        this.#running = undefined;
        this.#plan();
      });
  }

  async #work(email: string): Promise<void> {
    const { clock } = this.#options;
    if (clock.now() >= this.#askAt) await this.#ask();
    if (clock.now() < this.#dueAt()) return;
    const lock = await IssuerLock.take(await this.#store(), this.#options.hostname);
    if (lock === undefined) {
      this.#hold.lookAgain(clock.now() + LOOK_AGAIN_MS);
      return;
    }
    try {
      this.#isIssuing = true;
      await this.#issueLocked(lock, email);
    } finally {
      this.#isIssuing = false;
      await lock.release();
    }
  }

  async #issueLocked(lock: IssuerLock, email: string): Promise<void> {
    const { hostname, acme, clock } = this.#options;
    const directory = acme.acmeDirectoryUrl;
    const text = await lock.read(certificateKey(hostname));
    const failed = await lock.read(acmeAttemptsKey(hostname));
    const asked = await lock.read(acmeRenewalRequestKey(hostname));
    // The last holder of the lock may have issued, or failed, since this one looked.
    this.certificateTold(text);
    const before = parseAttempts(failed, directory);
    this.#hold.know(before);
    this.#asked = asked;
    const beganAt = clock.now();
    if (beganAt < this.#dueAt()) return;
    const failure = { directory, beganAt, random: Math.random() };
    // Written before it begins, so that a process that dies of it over and over does not ask over and over.
    const begun = afterFailure(before, { ...failure, now: beganAt, problem: UNDER_WAY });
    // One request is one attempt: what fails then is tried again when it is due.
    await this.#keep(lock, begun, null);
    const why = parseRenewalRequest(asked) === undefined ? "" : ", as an operator asks";
    this.#say("certificate_requested", `certificate requested at ${directory}${why}`);
    const replaced = (before?.failures ?? 0) === 0 ? this.#ownCertificate?.chainPem : undefined;
    const acmeOfOne = { ...acme, acmeEmail: email };
    const { signal } = this.#closing;
    const issued = await issue({ ...this.#options, lock, signal, replaced, acme: acmeOfOne });
    if (issued.ok) await this.#take(lock, issued.certificate, before);
    else if (signal.aborted) await this.#keep(lock, before, asked);
    else {
      const { reason: problem, retryAfterMs } = issued;
      await this.#fail(lock, afterFailure(before, { ...failure, now: clock.now(), problem, retryAfterMs }));
    }
  }

  async #fail(lock: IssuerLock, attempts: Attempts): Promise<void> {
    const { failures, problem, not_before: notBefore } = attempts;
    this.#hold.know(attempts);
    const next = new Date(notBefore).toISOString();
    this.#say("certificate_failed", `no certificate (failure ${failures}), next attempt ${next}: ${problem}`);
    await lock.write([this.#written(attempts)]);
  }

  async #keep(lock: IssuerLock, attempts: Attempts | undefined, asked: string | null): Promise<void> {
    const key = acmeRenewalRequestKey(this.#options.hostname);
    await lock.write([this.#written(attempts), { key, value: asked, ttlMs: RENEWAL_REQUEST_TTL_MS }]);
    this.#asked = asked;
  }

  #written(attempts: Attempts | undefined): LockedWrite {
    const value = attempts === undefined ? null : JSON.stringify(attempts);
    return { key: acmeAttemptsKey(this.#options.hostname), value, ttlMs: ATTEMPTS_TTL_MS };
  }

  async #take(lock: IssuerLock, certificate: Certificate, before: Attempts | undefined): Promise<void> {
    const { hostname, sealing: keys, clock } = this.#options;
    const failed = afterSuccess(before, clock.now());
    const until = new Date(certificate.expiresAt).toISOString();
    const value = storedCertificateText(certificate, SOURCE, { hostname, keys });
    await lock.write([{ key: certificateKey(hostname), value }, this.#written(failed)]);
    this.#say("certificate_issued", `certificate issued, expires ${until}`);
    this.certificateTold(value);
    this.#hold.know(failed);
  }

  /** Asks the authority when it would like the certificate renewed. Without an answer two thirds of its life hold. */
  async #ask(): Promise<void> {
    const { acme, clock } = this.#options;
    const certificate = this.#ownCertificate;
    this.#askAt = clock.now() + ASK_AGAIN_MS;
    if (certificate === undefined) return;
    try {
      // A host whose certificate comes from elsewhere never loads it.
      const { AcmeTransport } = await import("./transport.ts");
      const transport = new AcmeTransport({ roots: await readRoots(acme), signal: this.#closing.signal });
      try {
        const info = await askRenewalInfo(transport, acme.acmeDirectoryUrl, certificate.chainPem);
        this.#window = info.window;
        this.#askAt = clock.now() + info.askAgainMs;
      } finally {
        await transport.close();
      }
    } catch {
      // RFC 9773 section 4.3.2: a window that is known holds on; it is asked again in an hour.
    }
  }

  async #store(): Promise<RedisClient> {
    const { redisUrl: url, hostname } = this.#options;
    this.#redis ??= openRedis({ url, clientName: `gatehouse-acme-${hostname}` });
    await readyWithin(this.#redis, STORE_WAIT_MS);
    return this.#redis;
  }

  #say(event: Extract<EventName, `certificate_${string}`>, message: string): void {
    const { clock, hostname, log } = this.#options;
    const level: Level = event === "certificate_failed" ? "warn" : "info";
    log.write({ time: clock.now(), level, component: "instance", event, hostname, message });
  }
}
