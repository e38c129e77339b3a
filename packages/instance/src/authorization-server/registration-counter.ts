import { addressGroup } from "@gatehouse/shared/address-group";
import type { RateLimit } from "@gatehouse/shared/rate-limit";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { registrationCountKey } from "@gatehouse/shared/redis-keys";
import { checkRedirectUri } from "../oauth/redirect-uri.ts";
import { AddressShare, partOfAddress, perMinute } from "./abuse-limits.ts";

const MINUTE_MS = 60_000;

/** Registrations per minute that are taken. */
export interface RegistrationLimits {
  /** For one redirect host, from one address. All loopback hosts count as one. Default 60. */
  readonly perRedirectHost: number;
  /** For all of them together. Default 300. */
  readonly total: number;
}

export const DEFAULT_REGISTRATION_LIMITS: RegistrationLimits = { perRedirectHost: 60, total: 300 };

/**
 * Counts registrations of one hostname. By address alone only where it names many redirect hosts: all people behind one assistant
 * come from its few addresses, and a lower limit on those would lock them out together. Nor by redirect host alone: anybody may name that of an assistant. In all they are
 * counted in Redis, for every process of the hostname; an address that has hardly registered anything is taken beyond that.
 */
export class RegistrationCounter {
  readonly #options: {
    readonly redis: RedisClient;
    readonly hostname: Hostname;
    readonly limits: RegistrationLimits;
    readonly schemes: readonly string[];
  };
  readonly #perRedirectHost: RateLimit;
  readonly #perAddress: RateLimit;
  readonly #share = new AddressShare();

  constructor(options: {
    redis: RedisClient;
    hostname: Hostname;
    limits: RegistrationLimits;
    schemes: readonly string[];
  }) {
    this.#options = options;
    const { perRedirectHost, total } = options.limits;
    this.#perRedirectHost = perMinute(perRedirectHost);
    // Never less than one redirect host has: an assistant does not meet it.
    this.#perAddress = perMinute(Math.max(perRedirectHost, partOfAddress(total)));
  }

  /** Returns 0 when this registration is taken, else the milliseconds to wait. */
  async take(redirectUris: unknown, ip: string): Promise<number> {
    for (const host of this.#redirectHosts(redirectUris)) {
      const wait = this.#perRedirectHost.take(`${addressGroup(ip)} ${host}`, performance.now());
      if (wait > 0) return wait;
    }
    const waitOfAddress = this.#perAddress.take(addressGroup(ip), performance.now());
    if (waitOfAddress > 0) return waitOfAddress;
    const isWithinShare = this.#share.take(ip);
    const waitForAll = await this.#waitForAll();
    return isWithinShare ? 0 : waitForAll;
  }

  /** Counts one of this minute. */
  async #waitForAll(): Promise<number> {
    const { redis, hostname, limits } = this.#options;
    const now = Date.now();
    const key = registrationCountKey(hostname, Math.floor(now / MINUTE_MS));
    const count = await redis.incr(key);
    if (count === 1) await redis.expire(key, 120);
    return count > limits.total ? MINUTE_MS - (now % MINUTE_MS) : 0;
  }

  #redirectHosts(uris: unknown): ReadonlySet<string> {
    const hosts = new Set<string>();
    for (const uri of Array.isArray(uris) ? (uris as unknown[]) : []) {
      const check = typeof uri === "string" ? checkRedirectUri(uri, this.#options.schemes) : undefined;
      if (check?.ok) hosts.add(check.kind === "loopback" ? "loopback" : check.host);
    }
    return hosts;
  }
}
