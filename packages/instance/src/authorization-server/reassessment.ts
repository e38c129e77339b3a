import type { HostConfig } from "@gatehouse/shared/host-config";
import { entitlementOf } from "../oauth/entitlement.ts";
import type { GrantedIdentity } from "../oauth/identity.ts";
import { grantableScopes, namedMemberships, needsMembership } from "../oauth/scope.ts";
import type { UserPins } from "../oauth/user-pin.ts";
import { IdentityProviderError, type Memberships } from "./identity-provider.ts";
import type { IdentityProviders } from "./identity-providers.ts";
import type { LoginLog } from "./login-log.ts";
import type { Reassessment as Left } from "./pending-login.ts";
import type { Trace } from "./request-trace.ts";

export interface ReassessmentOptions {
  readonly hostConfig: () => HostConfig;
  readonly providers: IdentityProviders;
  readonly pins: UserPins;
  readonly log: LoginLog;
}

/** Seconds that the last known memberships hold while the provider is away (issue "Login"). */
const MEMBERSHIP_HOLD = 24 * 3600;

const NOT_ANY_MORE = "not_entitled_any_more";

const NO_MEMBERSHIPS: Memberships = { organisations: [], teams: [] };

/** What somebody may still have at a refresh: the lists, pins and memberships of now decide, not those of the login. */
export class Reassessment {
  readonly #options: ReassessmentOptions;

  constructor(options: ReassessmentOptions) {
    this.#options = options;
  }

  /** Undefined when nothing is left, which is recorded. Rejects when Redis does. */
  async of(granted: GrantedIdentity, trace: Trace): Promise<Left | undefined> {
    const { hostConfig, pins } = this.#options;
    const config = hostConfig();
    const known = await this.#memberships(config, granted, trace);
    if (known === undefined) return undefined;
    const identity = { ...granted.identity, ...known.memberships };
    // The grant holds what was asked for at the login, and the engine narrows to it.
    const requested = grantableScopes(config, identity);
    const entitlement = await entitlementOf(pins, config, { identity, requested });
    if (entitlement.kind === "none") {
      this.#refused(granted, trace, `refresh refused: ${entitlement.reason}`);
      return undefined;
    }
    return { identity, scopes: entitlement.scopes, checkedAt: known.checkedAt };
  }

  async #memberships(
    config: HostConfig,
    granted: GrantedIdentity,
    trace: Trace,
  ): Promise<{ memberships: Memberships; checkedAt: number } | undefined> {
    const { identity, membershipToken, checkedAt } = granted;
    // A login from before the lists named organisations brought no token to ask with: its person logs in again for them.
    if (!needsMembership(config) || membershipToken === undefined)
      return { memberships: NO_MEMBERSHIPS, checkedAt };
    const now = Math.floor(Date.now() / 1000);
    const provider = this.#options.providers.of(config);
    try {
      if (provider === undefined) throw new IdentityProviderError("misconfigured", "there is no application");
      const memberships = namedMemberships(config, await provider.recheck(membershipToken));
      return { memberships, checkedAt: now };
    } catch (error) {
      if (!(error instanceof IdentityProviderError)) throw error;
      if (error.kind === "refused") {
        this.#refused(
          granted,
          trace,
          `refresh refused: the identity provider no longer answers for them: ${error.message}`,
        );
        return undefined;
      }
      const isHeld = now - checkedAt <= MEMBERSHIP_HOLD;
      const what = isHeld ? "the last known memberships hold" : "the memberships are no longer known";
      const message = `identity provider away at a refresh, ${what}: ${error.message}`;
      this.#options.log.write(trace, { level: "warn", event: "provider_failed", message, identity });
      return { memberships: isHeld ? identity : NO_MEMBERSHIPS, checkedAt };
    }
  }

  #refused({ identity }: GrantedIdentity, trace: Trace, message: string): void {
    const step = { level: "warn", event: "login_refused", message, reason: NOT_ANY_MORE, identity } as const;
    this.#options.log.write(trace, step);
  }
}
