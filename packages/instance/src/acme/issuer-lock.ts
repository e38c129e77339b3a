import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";
import type { Hostname } from "@gatehouse/shared/hostname";
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

export interface LockedWrite {
  readonly key: string;
  /** Null: the key is deleted. */
  readonly value: string | null;
  /** Milliseconds that it stays; for ever when absent. */
  readonly ttlMs?: number;
}

/**
 * One issuer per hostname, across machines. Held by a random token that ends after 30 s unless it is renewed; what the holder writes
 * is written by a script that compares the token first. Lock and results lie on one server, so that comparison is the fence: a
 * process that was frozen past its time can't overwrite what its successor did.
 */
export class IssuerLock {
  readonly #redis: Redis;
  readonly #key: string;
  readonly #token: string;
  readonly #lost = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #heldUntil: number;

  private constructor(redis: Redis, lock: { key: string; token: string; heldUntil: number }) {
    this.#redis = redis;
    this.#key = lock.key;
    this.#token = lock.token;
    this.#heldUntil = lock.heldUntil;
    this.#timer = setInterval(() => void this.#extend(), LOCK_MS / RENEWALS).unref();
  }

  /** Undefined when another process holds it. @throws when Redis is away */
  static async take(redis: Redis, hostname: Hostname): Promise<IssuerLock | undefined> {
    const [key, token] = [acmeLockKey(hostname), randomBytes(16).toString("base64url")];
    const heldUntil = performance.now() + LOCK_MS;
    const answer = await redis.set(key, token, "PX", LOCK_MS, "NX");
    return answer === "OK" ? new IssuerLock(redis, { key, token, heldUntil }) : undefined;
  }

  /** Aborted when it is no longer held: others may order from now on. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Writes all or nothing. @throws when it is no longer held, or Redis is away */
  async write(writes: readonly LockedWrite[]): Promise<void> {
    const keys = [this.#key, ...writes.map(({ key }) => key)];
    const values = writes.flatMap(({ value, ttlMs = 0 }) => [value ?? "", ttlMs]);
    const written = await this.#redis.eval(WRITE, keys.length, ...keys, this.#token, ...values);
    if (written === 1) return;
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
