import { randomBytes } from "node:crypto";
import { Cluster } from "ioredis";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { acmeLockKey } from "@gatehouse/shared/redis-keys";

/** How long the others wait for an issuer that died, milliseconds. */
export const LOCK_MS = 30_000;
const RENEWALS = 3;

const EXTEND = `if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("PEXPIRE", KEYS[1], ARGV[2])`;
const RELEASE = `if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call("DEL", KEYS[1])`;
/** KEYS: the lock, then what is written. ARGV: the token, then value and milliseconds (0: for ever) of each; an empty value deletes. */
const WRITE = `if redis.call("GET", KEYS[1]) ~= ARGV[1] then return 0 end
for i = 2, #KEYS do
  local value, ms = ARGV[2 * i - 2], tonumber(ARGV[2 * i - 1])
  if value == "" then redis.call("DEL", KEYS[i])
  elseif ms == 0 then redis.call("SET", KEYS[i], value)
  else redis.call("SET", KEYS[i], value, "PX", ms) end
end
return 1`;

/** KEYS: what is written. ARGV: value and milliseconds as above, then what its holder may find there. What is gone is nobody's work. */
const WRITE_ONE = `local found, ms = redis.call("GET", KEYS[1]), tonumber(ARGV[2])
local known = not found
for i = 3, #ARGV do known = known or found == ARGV[i] end
if not known then return 0 end
if ARGV[1] == "" then redis.call("DEL", KEYS[1])
elseif ms == 0 then redis.call("SET", KEYS[1], ARGV[1])
else redis.call("SET", KEYS[1], ARGV[1], "PX", ms) end
return 1`;

export interface LockedWrite {
  readonly key: string;
  /** Null: the key is deleted. */
  readonly value: string | null;
  /** Milliseconds that it stays; for ever when absent. */
  readonly ttlMs?: number;
}

/**
 * One issuer per hostname, across machines. Held by a random token that ends after 30 s unless it is renewed. A process that was frozen
 * past its time can't overwrite what its successor did: on a single server one script compares the token and writes. On a Cluster lock
 * and results lie on several; there the token is compared first, and then each key is written only in the place of what this holder
 * read or wrote there itself, so that a successor's value stops it whatever happened in between.
 */
export class IssuerLock {
  readonly #redis: RedisClient;
  readonly #key: string;
  readonly #token: string;
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  /** What may stand under a key by this holder's knowledge: two values where the answer to a write was lost. */
  readonly #seen = new Map<string, readonly string[]>();
  #heldUntil: number;

  private constructor(redis: RedisClient, lock: { key: string; token: string; heldUntil: number }) {
    this.#redis = redis;
    this.#key = lock.key;
    this.#token = lock.token;
    this.#heldUntil = lock.heldUntil;
    this.#timer = setInterval(() => void this.#extend(), LOCK_MS / RENEWALS).unref();
  }

  /** Undefined when another process holds it. @throws when Redis is away */
  static async take(redis: RedisClient, hostname: Hostname): Promise<IssuerLock | undefined> {
    const [key, token] = [acmeLockKey(hostname), randomBytes(16).toString("base64url")];
    const heldUntil = performance.now() + LOCK_MS;
    const answer = await redis.set(key, token, "PX", LOCK_MS, "NX");
    return answer === "OK" ? new IssuerLock(redis, { key, token, heldUntil }) : undefined;
  }

  /** Aborted when it is no longer held: others may order from now on. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Reads a key that may be written later: what its holder never saw, it may not replace on a Cluster. @throws when Redis is away */
  async read(key: string): Promise<string | null> {
    const value = await this.#redis.get(key);
    this.#seen.set(key, value === null ? [] : [value]);
    return value;
  }

  /**
   * Writes all or nothing; on a Cluster one after the other, in the order given, and nothing after one that failed.
   * @throws when it is no longer held, or Redis is away
   */
  async write(writes: readonly LockedWrite[]): Promise<void> {
    if (this.#redis instanceof Cluster) {
      await this.#writeEach(writes);
      return;
    }
    const keys = [this.#key, ...writes.map(({ key }) => key)];
    const values = writes.flatMap(({ value, ttlMs = 0 }) => [value ?? "", ttlMs]);
    const written = await this.#redis.eval(WRITE, keys.length, ...keys, this.#token, ...values);
    if (written !== 1) this.#refuse();
  }

  async #writeEach(writes: readonly LockedWrite[]): Promise<void> {
    if ((await this.#redis.get(this.#key)) !== this.#token) this.#refuse();
    for (const { key, value, ttlMs = 0 } of writes) {
      const [seen, next] = [this.#seen.get(key) ?? [], value ?? ""];
      this.#seen.set(key, [...seen, next]);
      if ((await this.#redis.eval(WRITE_ONE, 1, key, next, ttlMs, ...seen)) !== 1) this.#refuse();
      this.#seen.set(key, [next]);
    }
  }

  #refuse(): never {
    this.#lose();
    throw new Error("another process issues for this hostname now");
  }

  /** Lets the next one in. Never rejects: what can't be released ends by itself. */
  async release(): Promise<void> {
    clearInterval(this.#timer);
    await this.#redis.eval(RELEASE, 1, this.#key, this.#token).catch(() => undefined);
  }

  async #extend(): Promise<void> {
    const heldUntil = performance.now() + LOCK_MS;
    try {
      if ((await this.#redis.eval(EXTEND, 1, this.#key, this.#token, LOCK_MS)) === 1)
        this.#heldUntil = heldUntil;
      else this.#lose();
    } catch {
      // Redis is away: it is still ours until its time is over.
      if (performance.now() > this.#heldUntil) this.#lose();
    }
  }

  #lose(): void {
    clearInterval(this.#timer);
    this.#lost.abort(new Error("the lock was lost"));
  }
}
