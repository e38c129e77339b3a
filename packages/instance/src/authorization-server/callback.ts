import { entitlementOf } from "../oauth/entitlement.ts";
import { namedMemberships } from "../oauth/scope.ts";
import type { UserPins } from "../oauth/user-pin.ts";
import type { HostContext } from "./endpoints.ts";
import {
  callbackError,
  IdentityProviderError,
  type FinishedLogin,
  type IdentityProvider,
  type IdentityProviderProblem,
} from "./identity-provider.ts";
import type { IdentityProviders } from "./identity-providers.ts";
import type { LoginBinding } from "./login-binding.ts";
import type { LoginLog } from "./login-log.ts";
import { seeOther } from "./pages/page.ts";
import { LOGIN_GONE, problemPage } from "./pages/problem-page.ts";
import type { LoginOutcome, LoginRefusal, PendingLogins } from "./pending-login.ts";
import type { SentLogin, SentLogins } from "./sent-login.ts";

export interface CallbackOptions {
  readonly origin: string;
  readonly pending: PendingLogins;
  readonly providers: IdentityProviders;
  readonly binding: LoginBinding;
  readonly sent: SentLogins;
  readonly pins: UserPins;
  readonly log: LoginLog;
}

/** What the client is told when the provider gave no identity; the record says more. */
const REFUSALS: Readonly<Record<IdentityProviderProblem, LoginRefusal>> = {
  refused: { error: "access_denied", description: "the identity provider did not confirm the login" },
  unavailable: { error: "temporarily_unavailable", description: "the identity provider is not available" },
  misconfigured: { error: "server_error", description: "this server is not set up at its identity provider" },
};

/** Not which list or pin: that is between the operator and the record. */
const NOT_ENTITLED: LoginRefusal = { error: "access_denied", description: "this account has no access here" };

/** `/callback`: the browser comes back from the identity provider. */
export class Callback {
  readonly #options: CallbackOptions;

  constructor(options: CallbackOptions) {
    this.#options = options;
  }

  /**
   * Uses up the `state`, learns who came back and sends the browser on to the client, with a code or an error. Where there is no
   * client to send it to, because nothing waits under that `state` for this browser, it gets a page.
   */
  async finish(c: HostContext): Promise<Response> {
    const { binding, sent, pending } = this.#options;
    const { searchParams: params } = new URL(c.req.url);
    const state = params.get("state") ?? "";
    const login = await sent.take(state);
    // Used up all the same: the provider's code stands in this browser's address bar, and whoever sent somebody here to sign in for him
    // must not be able to bring it home to the browser that has the cookie.
    if (!binding.isStateBound(c, state)) return this.#gone(c, "this browser did not start it");
    if (login === undefined) return this.#gone(c, "its state was used, or its time is over");
    const provider = this.#options.providers.of(c.env.context.hostConfig);
    if (provider?.name !== login.provider) return this.#gone(c, "the host changed its identity provider");
    const result = await this.#assess(c, login, { provider, params, state });
    const location =
      "error" in result ? await pending.refuse(login.uid, result) : await pending.finish(login.uid, result);
    return seeOther(location, binding.release({ uid: login.uid, state }));
  }

  /** Who it is and what they get, or what the client is told instead. */
  async #assess(
    c: HostContext,
    login: SentLogin,
    back: { provider: IdentityProvider; params: URLSearchParams; state: string },
  ): Promise<LoginOutcome | LoginRefusal> {
    const { log, pins, origin } = this.#options;
    const { clientId, requestedScopes: requested } = login;
    let finished: FinishedLogin;
    try {
      const error = callbackError(back.params);
      if (error !== undefined) throw error;
      finished = await back.provider.finish({ ...login, ...back, redirectUri: `${origin}/callback` });
    } catch (error) {
      if (!(error instanceof IdentityProviderError)) throw error;
      const isRefused = error.kind === "refused";
      log.write(c, {
        level: isRefused ? "warn" : "error",
        event: isRefused ? "login_refused" : "provider_failed",
        message: `${back.provider.title}: ${error.message}`,
        reason: `provider_${error.kind}`,
        clientId,
      });
      return REFUSALS[error.kind];
    }
    const { membershipToken } = finished;
    const named = namedMemberships(c.env.context.hostConfig, finished.identity);
    const identity = { ...finished.identity, ...named };
    const entitlement = await entitlementOf(pins, c.env.context.hostConfig, { identity, requested });
    if (entitlement.kind === "none") {
      const message = `login refused: ${entitlement.reason}`;
      const reason = "not_entitled";
      log.write(c, { level: "warn", event: "login_refused", message, reason, clientId, identity });
      return NOT_ENTITLED;
    }
    if (entitlement.isNewlyPinned)
      log.write(c, {
        level: "info",
        event: "login_pinned",
        message: "login pinned to this uid",
        clientId,
        identity,
      });
    const { scopes } = entitlement;
    log.write(c, {
      level: "info",
      event: "login_succeeded",
      message: `logged in with ${back.provider.title}`,
      clientId,
      identity,
      scopes,
    });
    return { identity, scopes, membershipToken };
  }

  #gone(c: HostContext, reason: string): Response {
    this.#options.log.write(c, {
      level: "warn",
      event: "login_refused",
      message: `login refused: ${reason}`,
      reason: "login_gone",
    });
    return problemPage(LOGIN_GONE);
  }
}
