import type { RateLimit } from "@gatehouse/shared/rate-limit";
import { needsMembership, offeredScopes } from "../oauth/scope.ts";
import { perMinute, retryAfter } from "./abuse-limits.ts";
import { readBytes } from "./body-bytes.ts";
import type { HostContext } from "./endpoints.ts";
import { IdentityProviderError, type IdentityProvider } from "./identity-provider.ts";
import type { IdentityProviders } from "./identity-providers.ts";
import type { LoginBinding } from "./login-binding.ts";
import type { LoginLog } from "./login-log.ts";
import { consentPage } from "./pages/consent-page.ts";
import { seeOther } from "./pages/page.ts";
import {
  FORGED_FORM,
  LOGIN_GONE,
  LOGIN_NOT_SET_UP,
  LOGIN_UNAVAILABLE,
  problemPage,
  TOO_MANY_ANSWERS,
} from "./pages/problem-page.ts";
import type { PendingLogin, PendingLogins } from "./pending-login.ts";
import { randomValue, type SentLogins } from "./sent-login.ts";

export interface ConsentOptions {
  readonly hostname: string;
  readonly origin: string;
  readonly pending: PendingLogins;
  readonly providers: IdentityProviders;
  readonly binding: LoginBinding;
  readonly sent: SentLogins;
  readonly log: LoginLog;
  /** How often the form of one login may come back within a minute: each approval leaves a record in Redis. */
  readonly answersPerMinute: number;
}

/** Octets of a form with two fields, generously. */
const MAX_FORM_BYTES = 4096;

/** The consent page, and what follows from its answer. Until it is approved nothing is kept and the provider knows nothing. */
export class Consent {
  readonly #options: ConsentOptions;
  readonly #answers: RateLimit;

  constructor(options: ConsentOptions) {
    this.#options = options;
    this.#answers = perMinute(options.answersPerMinute);
  }

  /**
   * `GET /interaction/{uid}`. Without an application at the provider there is nothing to consent to: the page says so instead, and
   * the operator finds it in the record.
   */
  async show(c: HostContext): Promise<Response> {
    const pending = await this.#find(c);
    if (pending === undefined) return this.#gone(c);
    const { hostConfig } = c.env.context;
    const provider = this.#options.providers.of(hostConfig);
    if (provider === undefined) return this.#notSetUp(c, pending);
    return consentPage({
      pending,
      hostname: this.#options.hostname,
      scopes: offeredScopes(hostConfig, pending.requestedScopes),
      providerTitle: provider.title,
      formToken: this.#options.binding.formToken(pending.uid),
    });
  }

  /** `POST /interaction/{uid}`: the form of the page comes back. */
  async decide(c: HostContext): Promise<Response> {
    const pending = await this.#find(c);
    if (pending === undefined) return this.#gone(c);
    const wait = this.#answers.take(pending.uid, performance.now());
    if (wait > 0) return this.#tooMany(c, pending, wait);
    const form = new URLSearchParams((await readBytes(c, MAX_FORM_BYTES)).toString());
    if (!this.#isOurForm(c, pending.uid, form)) {
      this.#record(c, pending, {
        level: "warn",
        event: "consent_refused",
        message: "a consent form did not come from our page",
        reason: "forged_form (RFC 6749 10.12)",
      });
      return problemPage(FORGED_FORM);
    }
    const choice = form.get("choice");
    if (choice === "approve" || choice === "approve_other_account")
      return await this.#send(c, pending, { chooseAccount: choice === "approve_other_account" });
    this.#record(c, pending, {
      level: "info",
      event: "consent_refused",
      message: "the person declined",
      reason: "declined",
    });
    const location = await this.#options.pending.refuse(pending.uid, {
      error: "access_denied",
      description: "the request was declined",
    });
    return seeOther(location, this.#options.binding.release(pending));
  }

  #tooMany(c: HostContext, pending: PendingLogin, wait: number): Response {
    const { reason } = TOO_MANY_ANSWERS;
    const message = "refused: too many answers of one login in this minute";
    this.#record(c, pending, { level: "warn", event: "consent_refused", message, reason });
    return problemPage({ ...TOO_MANY_ANSWERS, headers: { "retry-after": retryAfter(wait) } });
  }

  #gone(c: HostContext): Response {
    this.#options.log.write(c, {
      level: "warn",
      event: "consent_refused",
      message: "no authorization of this browser waits for consent here",
      reason: "login_gone",
    });
    return problemPage(LOGIN_GONE);
  }

  /** Only for the browser that started it: whose reader was lured to somebody else's page has nothing to see there. */
  async #find(c: HostContext): Promise<PendingLogin | undefined> {
    const uid = c.req.param("uid") ?? "";
    if (!this.#options.binding.isStartBound(c, uid)) return undefined;
    return await this.#options.pending.find(uid, c.req.header("cookie"));
  }

  /** A browser says where a form came from; what is no browser may leave that out, but has no cookie of anybody's either. */
  #isOurForm(c: HostContext, uid: string, form: URLSearchParams): boolean {
    const origin = c.req.header("origin");
    if (origin !== undefined && origin !== this.#options.origin) return false;
    return this.#options.binding.isFormBound(c, uid, form.get("csrf_token"));
  }

  /** Approved: only now is there a `state`, kept for one use and tied to this browser. */
  async #send(c: HostContext, pending: PendingLogin, choice: { chooseAccount: boolean }): Promise<Response> {
    const { hostConfig } = c.env.context;
    const { origin, providers, sent, binding } = this.#options;
    const provider = providers.of(hostConfig);
    if (provider === undefined) return this.#notSetUp(c, pending);
    const trip = {
      state: randomValue(),
      codeVerifier: randomValue(),
      redirectUri: `${origin}/callback`,
      needsMembership: needsMembership(hostConfig),
      ...choice,
    };
    const location = await this.#begin(c, { provider, trip, pending });
    if (location instanceof Response) return location;
    await sent.keep(trip.state, {
      uid: pending.uid,
      clientId: pending.client.id,
      requestedScopes: pending.requestedScopes,
      provider: provider.name,
      codeVerifier: trip.codeVerifier,
      needsMembership: trip.needsMembership,
    });
    this.#record(c, pending, {
      level: "info",
      event: "consent_given",
      message: `consent given, on to ${provider.title}`,
    });
    return seeOther(location, [binding.bindState(trip.state)]);
  }

  /** A provider that is away leaves the page as it is: sending the form again is all it takes. */
  async #begin(
    c: HostContext,
    {
      provider,
      trip,
      pending,
    }: { provider: IdentityProvider; trip: Parameters<IdentityProvider["begin"]>[0]; pending: PendingLogin },
  ): Promise<URL | Response> {
    try {
      return await provider.begin(trip);
    } catch (error) {
      if (!(error instanceof IdentityProviderError)) throw error;
      this.#record(c, pending, {
        level: "error",
        event: "provider_failed",
        message: `${provider.title} failed: ${error.message}`,
        reason: `provider_${error.kind}`,
      });
      return problemPage(error.kind === "misconfigured" ? LOGIN_NOT_SET_UP : LOGIN_UNAVAILABLE);
    }
  }

  #notSetUp(c: HostContext, pending: PendingLogin): Response {
    const message = `nobody can log in: neither the host config nor the process has an application at ${c.env.context.hostConfig.identity_provider}`;
    this.#record(c, pending, {
      level: "error",
      event: "provider_failed",
      message,
      reason: "login_not_set_up",
    });
    return problemPage(LOGIN_NOT_SET_UP);
  }

  /** Each step is recorded with the client it is about; who the person is nobody knows yet. */
  #record(
    c: HostContext,
    { client }: PendingLogin,
    step: Omit<Parameters<LoginLog["write"]>[1], "clientId" | "identity">,
  ): void {
    this.#options.log.write(c, { ...step, clientId: client.id });
  }
}
