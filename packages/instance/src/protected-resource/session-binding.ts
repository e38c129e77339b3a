import type { RedisClient } from "@gatehouse/shared/redis-connection";
import * as z from "zod";
import type { Hostname } from "@gatehouse/shared/hostname";
import { parseRecord } from "@gatehouse/shared/oauth-record";
import { mcpSessionKey } from "@gatehouse/shared/redis-keys";

export interface SessionBindingsOptions {
  readonly redis: RedisClient;
  readonly hostname: Hostname;
  /** Seconds a session may rest before its user is forgotten. Default 7 days. */
  readonly seconds?: number;
  /** Most sessions kept in memory. Default 10,000. */
  readonly maxSessions?: number;
}

/**
 * Whose session it is. `unknown`: nobody's that was opened here. `unsaid`: Redis is away and this process has not seen it.
 */
export type SessionOwnership = "own" | "foreign" | "unknown" | "unsaid";

const DAY = 86_400;
const MAX_SESSIONS = 10_000;
/** Part of its life after which a session in use is written anew. */
const RENEWAL = 1 / 24;

const recordSchema = z.object({ hostname: z.string(), uid: z.string() });

interface Binding {
  readonly uid: string;
  /** `performance.now()` from which on the record is to be written again; at once when it could not be written. */
  renewAt: number;
}

/**
 * Which user opened which MCP session (MCP Security Best Practices, Session Hijacking): a session id is no credential, so a token
 * is asked for at every request, and the session of one user is unknown to every other. Ids are made by the upstream and kept here
 * as hashes; bindings never change, so one that was read once is not read again.
 */
export class SessionBindings {
  readonly #options: SessionBindingsOptions;
  readonly #seconds: number;
  /** By key; the one bound longest ago first. */
  readonly #known = new Map<string, Binding>();

  constructor(options: SessionBindingsOptions) {
    this.#options = options;
    this.#seconds = options.seconds ?? 7 * DAY;
  }

  /** Says whose a session is; at once when it is known here. Never rejects. */
  check(sessionId: string, uid: string): SessionOwnership | Promise<SessionOwnership> {
    const key = this.#key(sessionId);
    const binding = this.#known.get(key);
    if (binding === undefined) return this.#lookUp(key, uid);
    if (binding.uid !== uid) return "foreign";
    if (performance.now() >= binding.renewAt) void this.#write(key, binding);
    return "own";
  }

  /** Binds a session that an upstream has just opened. One that is bound stays with its first user. */
  bind(sessionId: string, uid: string): void {
    const key = this.#key(sessionId);
    if (this.#known.has(key)) return;
    const binding = { uid, renewAt: 0 };
    this.#keep(key, binding);
    void this.#write(key, binding);
  }

  async #lookUp(key: string, uid: string): Promise<SessionOwnership> {
    let text: string | null;
    try {
      text = await this.#options.redis.get(key);
    } catch {
      return "unsaid"; // away; the token was good, and only this binding can't be asked
    }
    const owner = this.#owner(text);
    if (owner === undefined) return "unknown";
    if (!this.#known.has(key)) this.#keep(key, { uid: owner, renewAt: this.#renewalTime() });
    return owner === uid ? "own" : "foreign";
  }

  /** The first user keeps it, also when two processes bind at once; whoever lost learns it here. */
  async #write(key: string, binding: Binding): Promise<void> {
    const { redis, hostname } = this.#options;
    binding.renewAt = this.#renewalTime();
    const record = JSON.stringify({ hostname, uid: binding.uid });
    try {
      if ((await redis.set(key, record, "EX", this.#seconds, "NX")) !== null) return;
      const owner = this.#owner(await redis.get(key));
      if (owner === binding.uid) await redis.expire(key, this.#seconds);
      else if (owner !== undefined) this.#keep(key, { uid: owner, renewAt: this.#renewalTime() });
    } catch {
      binding.renewAt = 0; // away: tried again at the next use
    }
  }

  #owner(text: string | null): string | undefined {
    if (text === null) return undefined;
    return parseRecord(text, { hostname: this.#options.hostname, schema: recordSchema })?.uid;
  }

  #keep(key: string, binding: Binding): void {
    this.#known.set(key, binding);
    if (this.#known.size <= (this.#options.maxSessions ?? MAX_SESSIONS)) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }

  #key(sessionId: string): string {
    return mcpSessionKey(this.#options.hostname, sessionId);
  }

  #renewalTime(): number {
    return performance.now() + this.#seconds * 1000 * RENEWAL;
  }
}
