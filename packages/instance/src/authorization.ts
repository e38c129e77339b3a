import {
  closeRedis,
  openRedis,
  readyWithin,
  storeErrorText,
  type RedisClient,
} from "@gatehouse/shared/redis-connection";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Readiness } from "./admission.ts";
import type { GitHubSettings } from "./authorization-server/github-options.ts";
import { loginApplication } from "./authorization-server/login-application.ts";
import { githubOf } from "./oauth-options.ts";
import type { Protection, ProtectionOptions } from "./protection.ts";

export interface AuthorizationOptions extends Omit<
  ProtectionOptions,
  "redis" | "github" | "hostConfig" | "signingKeyCopy"
> {
  /** Called once, when the protection is in place. */
  readonly onReady: (protection: Protection) => void;
}

export interface AuthorizationReport {
  /** `off`: no config has asked for it since the start. `opening`: tried again and again until it is done. */
  readonly state: "off" | "opening" | "ready" | "closed";
  /** Why requests to the protected host are refused. */
  readonly problem: string | undefined;
}

const RETRY_MS = 500;
/** How long an attempt waits for Redis where nothing but Redis has the signing keys. */
const STORE_WAIT_MS = 2000;

const NO_GITHUB_APP =
  "auth_enabled, and there is no GitHub OAuth app: set github_client_id and github_client_secret, or GITHUB_CLIENT_ID and GITHUB_CLIENT_SECRET";

/**
 * The authorization of one hostname: opened when its config first asks for protection, and kept from then on, as configs come and
 * go. Until it is in place, and while something is missing, a protected host is refused as a whole and never served openly.
 */
export class Authorization {
  readonly #options: AuthorizationOptions;
  readonly #github: GitHubSettings;
  /** The config in force, or the last one that was. */
  #config: HostConfig | undefined;
  #state: AuthorizationReport["state"] = "off";
  /** Why the last attempt to open failed. */
  #failure: string | undefined;
  #problem: string | undefined;
  #redis: RedisClient | undefined;
  #protection: Protection | undefined;
  /** What stands in Redis, or stood there when that was last seen. */
  #signingKeyText: string | null = null;
  #opening: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;

  /** @throws {ConfigError} when only half a GitHub app is given */
  constructor(options: AuthorizationOptions) {
    this.#options = options;
    this.#github = githubOf(options.oauth);
  }

  report(): AuthorizationReport {
    return { state: this.#state, problem: this.#problem };
  }

  /** Settles when an attempt to open it, should there be one, has ended. */
  async settled(): Promise<void> {
    await this.#opening;
  }

  /** Follows a host config, undefined when it was deleted; tells whether protected requests may be served under it. */
  configure(config: HostConfig | undefined): Readiness {
    if (config === undefined || !config.auth_enabled) {
      this.#problem = undefined;
      return { ok: true };
    }
    this.#config = config;
    if (this.#state === "off") this.#open();
    const isComplete = loginApplication(config, this.#github) !== undefined;
    if (isComplete && this.#state === "ready") {
      this.#problem = undefined;
      return { ok: true };
    }
    // What a config lacks by itself was refused when it was read; this is what it lacks together with the process.
    const known = isComplete ? this.#failure : NO_GITHUB_APP;
    if (known !== undefined) this.#report(known);
    return { ok: false, problem: known ?? "the authorization server is not open yet" };
  }

  /** Takes what stands under the Redis key of the signing keys. Never throws. */
  signingKeysTold(text: string | null): void {
    // An absent document changes nothing: the keys in memory sign on, and the next start makes new ones.
    if (text !== null) this.#signingKeyText = text;
    this.#protection?.server.signingKeysTold(text);
  }

  /** The signing keys as last known, sealed, for a start without Redis. */
  get signingKeyText(): string | null {
    return this.#signingKeyText;
  }

  async close(): Promise<void> {
    this.#state = "closed";
    clearTimeout(this.#retry);
    await this.#opening;
    await Promise.all([this.#protection?.resource.close(), this.#protection?.server.close()]);
    if (this.#redis) await closeRedis(this.#redis);
  }

  #open(): void {
    this.#state = "opening";
    this.#opening = this.#attempt().finally(() => {
      this.#opening = undefined;
    });
  }

  async #attempt(): Promise<void> {
    try {
      const protection = await this.#build();
      this.#protection = protection;
      if (this.#state === "closed") return;
      protection.resource.start();
      this.#state = "ready";
      this.#failure = undefined;
      // What was told while the keys were being opened may be newer.
      protection.server.signingKeysTold(this.#signingKeyText);
      this.#options.onReady(protection);
    } catch (error) {
      if (this.#state === "closed") return;
      this.#failure = `the authorization server can't be opened: ${storeErrorText(error)}`;
      this.#report(this.#failure);
      this.#retry = setTimeout(() => this.#open(), RETRY_MS);
    }
  }

  async #build(): Promise<Protection> {
    const { hostname, redisUrl } = this.#options;
    const redis = (this.#redis ??= openRedis({ url: redisUrl, clientName: `gatehouse-oauth-${hostname}` }));
    if (this.#signingKeyText === null) await readyWithin(redis, STORE_WAIT_MS);
    // Half of what an instance loads, which an open host never needs.
    const { openProtection } = await import("./protection.ts");
    return await openProtection({
      ...this.#options,
      redis,
      github: this.#github,
      hostConfig: () => this.#protectedConfig(),
      signingKeyCopy: this.#signingKeyText,
    });
  }

  #protectedConfig(): HostConfig {
    if (this.#config === undefined) throw new TypeError("no config has asked for authorization");
    return this.#config;
  }

  /** Keeps a problem for the health page, and records it when it is a new one. */
  #report(problem: string): void {
    if (problem === this.#problem) return;
    this.#problem = problem;
    const { log, hostname } = this.#options;
    log.write({
      time: Date.now(),
      level: "error",
      component: "oauth",
      event: "oauth_failed",
      hostname,
      message: `protected host refused with 503: ${problem}`,
    });
  }
}
