import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { registrationCountKey } from "@gatehouse/shared/redis-keys";
import { checkRedirectUri } from "../oauth/redirect-uri.ts";

/** Registrations per minute that are taken. */
export interface RegistrationLimits {
  /** For one redirect host. All loopback hosts count as one. Default 60. */
  readonly perRedirectHost: number;
  /** For all of them together. Default 300. */
  readonly total: number;
}

export const DEFAULT_REGISTRATION_LIMITS: RegistrationLimits = { perRedirectHost: 60, total: 300 };

/**
 * Counts registrations of one hostname. Never by address alone: all people behind one assistant come from its few addresses, and
 * a limit on those would lock them out together.
 */
export class RegistrationCounter {
  readonly #options: {
    readonly redis: RedisClient;
    readonly hostname: Hostname;
    readonly limits: RegistrationLimits;
    readonly schemes: readonly string[];
  };

  constructor(options: {
    redis: RedisClient;
    hostname: Hostname;
    limits: RegistrationLimits;
    schemes: readonly string[];
  }) {
    this.#options = options;
  }

  /** Returns 0 when this registration is taken, else the seconds to wait. */
  async take(redirectUris: unknown): Promise<number> {
    const { limits } = this.#options;
    const second = Math.floor(Date.now() / 1000);
    const minute = Math.floor(second / 60);
    for (const host of this.#redirectHosts(redirectUris)) {
      if ((await this.#count(host, minute)) > limits.perRedirectHost) return 60 - (second % 60);
    }
    return (await this.#count("*", minute)) > limits.total ? 60 - (second % 60) : 0;
  }

  async #count(subject: string, minute: number): Promise<number> {
    const { redis, hostname } = this.#options;
    const key = registrationCountKey(hostname, subject, minute);
    const count = await redis.incr(key);
    if (count === 1) await redis.expire(key, 120);
    return count;
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
