import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { readRecord } from "@gatehouse/shared/oauth-record";
import { pinRecordSchema, type PinRecord } from "@gatehouse/shared/pin-record";
import { pinKey } from "@gatehouse/shared/redis-keys";
import type { Identity } from "./identity.ts";

/** `pinned`: this login means this uid from now on; `same`: it did already; `other`: it means somebody else. */
export type PinClaim = "pinned" | "same" | "other";

/**
 * Logins that a host config names, each pinned to the first uid that came under it. Logins can be given up and registered again by
 * somebody else, who must not inherit what the list meant to give. Pins don't expire; an operator removes one by its key.
 */
export class UserPins {
  readonly #redis: RedisClient;
  readonly #hostname: Hostname;

  constructor(redis: RedisClient, hostname: Hostname) {
    this.#redis = redis;
    this.#hostname = hostname;
  }

  /** Pins the login to this uid unless it is pinned; of two first claims at once exactly one wins. Rejects when Redis does. */
  async claim({ login, uid }: Pick<Identity, "login" | "uid">): Promise<PinClaim> {
    const key = pinKey(this.#hostname, login);
    const record: PinRecord = {
      hostname: this.#hostname,
      login,
      uid,
      pinned_at: Math.floor(Date.now() / 1000),
    };
    if ((await this.#redis.set(key, JSON.stringify(record), "NX")) === "OK") return "pinned";
    const stored = await readRecord(this.#redis, key, { hostname: this.#hostname, schema: pinRecordSchema });
    // A record that can't be read names nobody, so this person is not the one it names.
    return stored?.value.uid === uid ? "same" : "other";
  }
}
