import { addressGroup } from "@gatehouse/shared/address-group";
import { RateLimit } from "@gatehouse/shared/rate-limit";

/** What is taken within a minute, by one process. See {@link DEFAULT_ABUSE_LIMITS} for the figures. */
export interface AbuseLimits {
  /** Started authorizations: in all, and of one client from one address. */
  readonly authorizations: number;
  readonly authorizationsPerClient: number;
  /** Answers of the consent page for one login. */
  readonly consentsPerLogin: number;
  /** Refused requests of `/token`, `/revoke` and `/introspect`: in all, of one client from one address, and with one credential. */
  readonly failures: number;
  readonly failuresPerClient: number;
  readonly failuresPerCredential: number;
}

export const DEFAULT_ABUSE_LIMITS: AbuseLimits = {
  authorizations: 1200,
  authorizationsPerClient: 60,
  consentsPerLogin: 20,
  failures: 1200,
  failuresPerClient: 60,
  failuresPerCredential: 10,
};

/** Reasons of a 429, as the record has them. */
export const LIMIT_REASONS = [
  "too_many_registrations",
  "too_many_authorizations",
  "too_many_consents",
  "too_many_failures",
] as const;
export type LimitReason = (typeof LIMIT_REASONS)[number];

const MINUTE_MS = 60_000;
/** What an address may do in a minute though all of them together have used up what there is: nobody is locked out by others. */
const SHARE_OF_ADDRESS = 5;
/** The one key of a limit on everything. */
const ALL = "*";

/** Returns a limit of so many a minute. */
export function perMinute(count: number): RateLimit {
  return new RateLimit({ count, periodMs: MINUTE_MS });
}

/** Returns whole seconds for `Retry-After`. */
export function retryAfter(waitMs: number): string {
  return String(Math.max(1, Math.ceil(waitMs / 1000)));
}

/**
 * Limits by address what reaches beyond a limit in all: a flood that has used that up from elsewhere leaves every address its share.
 */
export class AddressShare {
  readonly #limit = perMinute(SHARE_OF_ADDRESS);

  /** Counts one; true while that address is within its share. */
  take(ip: string): boolean {
    return this.#limit.take(addressGroup(ip), performance.now()) === 0;
  }
}

/** Started authorizations: each leaves a record in Redis for as long as a login may take. */
export class AuthorizationLimit {
  readonly #inAll: RateLimit;
  readonly #perClient: RateLimit;
  readonly #share = new AddressShare();

  constructor(limits: Pick<AbuseLimits, "authorizations" | "authorizationsPerClient">) {
    this.#inAll = perMinute(limits.authorizations);
    this.#perClient = perMinute(limits.authorizationsPerClient);
  }

  /** Returns 0 when this one is taken, else the milliseconds to wait. The client is what the request names, known or not. */
  take(clientId: string, ip: string): number {
    const now = performance.now();
    const wait = this.#perClient.take(clientAt(clientId, ip), now);
    if (wait > 0) return wait;
    const isWithinShare = this.#share.take(ip);
    const waitForAll = this.#inAll.take(ALL, now);
    return isWithinShare ? 0 : waitForAll;
  }
}

/** Returns what a single address gets of what there is in all: it never uses up everything. */
export function partOfAddress(inAll: number): number {
  return Math.ceil(inAll / 3);
}

/** What peers make this host fetch: metadata documents of clients, and their key sets. */
export class FetchLimit {
  readonly #inAll: RateLimit;
  readonly #perAddress: RateLimit;
  readonly #share = new AddressShare();

  constructor(fetchesPerMinute: number) {
    this.#inAll = perMinute(fetchesPerMinute);
    this.#perAddress = perMinute(partOfAddress(fetchesPerMinute));
  }

  /** Returns 0 when this one is taken, else the milliseconds to wait. */
  take(ip: string): number {
    const now = performance.now();
    const wait = this.#perAddress.take(addressGroup(ip), now);
    if (wait > 0) return wait;
    const isWithinShare = this.#share.take(ip);
    const waitForAll = this.#inAll.take(ALL, now);
    return isWithinShare ? 0 : waitForAll;
  }
}

/** What a request to `/token`, `/revoke` or `/introspect` shows, as far as limits count by it. */
export interface Shown {
  readonly ip: string;
  /** As the request names it; nothing is checked yet. */
  readonly clientId: string;
  /** Hash of the code or token; undefined when none is shown. */
  readonly credential: string | undefined;
  /** Tells whether this host has issued that code or token. Asked only when a limit is reached. */
  readonly isIssuedHere: () => Promise<boolean>;
}

/**
 * Refused requests. Hosted clients share addresses, and a client id that is the URL of a document is shared by all its users: so a
 * limit on a client, an address or all of them together stops only who shows no code or token of this host. What does show one is
 * stopped by the failures of that very code or token, of which somebody else has none.
 */
export class FailureLimit {
  readonly #inAll: RateLimit;
  readonly #perClient: RateLimit;
  readonly #perCredential: RateLimit;

  constructor(limits: Pick<AbuseLimits, "failures" | "failuresPerClient" | "failuresPerCredential">) {
    this.#inAll = perMinute(limits.failures);
    this.#perClient = perMinute(limits.failuresPerClient);
    this.#perCredential = perMinute(limits.failuresPerCredential);
  }

  /** Returns 0 when the request may be looked at, else the milliseconds to wait. Rejects when Redis does. */
  async wait({ ip, clientId, credential, isIssuedHere }: Shown): Promise<number> {
    const now = performance.now();
    const ofCredential = credential === undefined ? 0 : this.#perCredential.wait(credential, now);
    if (ofCredential > 0) return ofCredential;
    const others = Math.max(this.#perClient.wait(clientAt(clientId, ip), now), this.#inAll.wait(ALL, now));
    return others > 0 && !(await isIssuedHere()) ? others : 0;
  }

  /** Counts a request that was refused. */
  failed({ ip, clientId, credential }: Shown): void {
    const now = performance.now();
    this.#inAll.count(ALL, now);
    this.#perClient.count(clientAt(clientId, ip), now);
    if (credential !== undefined) this.#perCredential.count(credential, now);
  }
}

/** Longest client id that is told from others by more than its beginning: a key is held for a while, and anybody can send one. */
const MAX_CLIENT_ID_LENGTH = 256;

function clientAt(clientId: string, ip: string): string {
  return `${addressGroup(ip)} ${clientId.slice(0, MAX_CLIENT_ID_LENGTH)}`;
}
