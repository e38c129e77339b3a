import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { App } from "../app.ts";
import { faultOf } from "../fault.ts";
import type { GrantedIdentity } from "../oauth/identity.ts";
import { UserPins } from "../oauth/user-pin.ts";
import { DEFAULT_ABUSE_LIMITS } from "./abuse-limits.ts";
import { noted, recordAnswer } from "./answer-record.ts";
import { Callback } from "./callback.ts";
import { Consent } from "./consent.ts";
import { bodyUnread, BodyUnread } from "./body-bytes.ts";
import type { HostContext } from "./endpoints.ts";
import type { PageProblem } from "./engine-exchange.ts";
import type { GitHubSettings } from "./github-options.ts";
import { IdentityProviders } from "./identity-providers.ts";
import { LoginBinding } from "./login-binding.ts";
import { LoginLog } from "./login-log.ts";
import {
  LOGIN_FAILED,
  LOGIN_GONE,
  LOGIN_UNAVAILABLE,
  problemPage,
  protocolProblemPage,
} from "./pages/problem-page.ts";
import {
  PendingLoginGone,
  type Login,
  type PendingLogins,
  type Reassessment as Left,
} from "./pending-login.ts";
import type { ProviderHttpOptions } from "./provider-http.ts";
import { Reassessment } from "./reassessment.ts";
import type { Trace } from "./request-trace.ts";
import { SentLogins } from "./sent-login.ts";
import { isStoreAway } from "./store-errors.ts";

export interface ProviderLoginOptions {
  readonly hostname: Hostname;
  /** `https://HOST`, with the port where that is not 443; no trailing slash. */
  readonly origin: string;
  readonly hostConfig: () => HostConfig;
  readonly redis: RedisClient;
  /** Root keys, or this hostname's own. */
  readonly sealing: SealingKeys;
  readonly log: RecordLog;
  readonly github: GitHubSettings;
  /** How the identity provider is spoken to. */
  readonly http?: ProviderHttpOptions;
  /** Seconds from start to consent, and from consent to callback. Default, and most, 600. */
  readonly seconds?: number;
  /** Answers of the consent page for one login within a minute. Default 20. */
  readonly consentsPerLogin?: number;
}

/** Longest life of a `state` (MCP Security Best Practices). */
const MAX_SECONDS = 600;

type Handler = (c: HostContext) => Promise<Response>;

/**
 * The login of a host: consent, then its identity provider, then the lists of its config.
 *
 * ```
 * /authorize          the engine's; its answer gets the cookie that names the browser          login-binding.ts
 * GET /interaction/…  consent page, for that browser only                                      consent.ts, pages/
 * POST /interaction/… approved: `state` is made and kept, the browser goes to the provider     sent-login.ts
 * GET /callback       `state` used up; who came back, what they get; back to the engine        callback.ts
 * ```
 *
 * At each refresh the engine asks {@link ProviderLogin.reassess} again (reassessment.ts).
 */
export class ProviderLogin implements Login {
  readonly #options: ProviderLoginOptions;
  readonly #providers: IdentityProviders;
  readonly #binding: LoginBinding;
  readonly #sent: SentLogins;
  readonly #pins: UserPins;
  readonly #log: LoginLog;
  readonly #reassessment: Reassessment;

  /** @throws {TypeError} when the sealing keys are another hostname's. */
  constructor(options: ProviderLoginOptions) {
    const { hostname, redis, hostConfig } = options;
    const seconds = Math.min(options.seconds ?? MAX_SECONDS, MAX_SECONDS);
    const sealing = options.sealing.forHostname(hostname);
    if (sealing === undefined) throw new TypeError(`the sealing keys are not those of ${hostname}`);
    this.#options = options;
    this.#providers = new IdentityProviders(options.github, options.http);
    this.#binding = new LoginBinding(sealing, seconds);
    this.#sent = new SentLogins({ redis, hostname, sealing, seconds });
    this.#pins = new UserPins(redis, hostname);
    this.#log = new LoginLog(options.log, hostname);
    this.#reassessment = new Reassessment({
      hostConfig,
      providers: this.#providers,
      pins: this.#pins,
      log: this.#log,
    });
  }

  routes(app: App, pending: PendingLogins): void {
    const { hostname, origin } = this.#options;
    const shared = {
      hostname,
      origin,
      pending,
      providers: this.#providers,
      binding: this.#binding,
      sent: this.#sent,
      pins: this.#pins,
      log: this.#log,
    };
    const answersPerMinute = this.#options.consentsPerLogin ?? DEFAULT_ABUSE_LIMITS.consentsPerLogin;
    const consent = new Consent({ ...shared, answersPerMinute });
    const callback = new Callback(shared);
    this.#mount(app, "/interaction/:uid", { GET: (c) => consent.show(c), POST: (c) => consent.decide(c) });
    app.use("/authorize", async (c, next) => {
      await next();
      if (c.env.context.hostConfig.auth_enabled) this.#bindStart(c.res);
    });
    // Programs that look ahead at links ask with HEAD, and a callback can be asked for once.
    this.#mount(app, "/callback", { GET: (c) => callback.finish(c) });
  }

  /** Says what is left of a grant by the config, pins and memberships of now. Rejects when Redis does. */
  async reassess(granted: GrantedIdentity, trace: Trace): Promise<Left | undefined> {
    return await this.#reassessment.of(granted, trace);
  }

  /** The page for what can't be told to the client, such as an unknown client or redirect URI. */
  errorPage(problem: PageProblem): Response {
    return protocolProblemPage(problem);
  }

  /** The answer that sends a browser to its consent page says which browser that is. */
  #bindStart({ headers }: Response): void {
    const [, uid] = /\/interaction\/([\w-]+)$/.exec(headers.get("location") ?? "") ?? [];
    if (uid !== undefined) headers.append("set-cookie", this.#binding.bindStart(uid));
  }

  /** Serves a path on protected hosts, with one record for each request; on open ones the path is the upstream's. */
  #mount(app: App, path: string, handlers: Readonly<Record<string, Handler>>): void {
    app.all(path, async (c, next) => {
      const { context } = c.env;
      if (!context.hostConfig.auth_enabled) {
        await next();
        return;
      }
      const handler = handlers[c.req.method];
      const response = handler === undefined ? wrongMethod(handlers) : await this.#answer(handler, c);
      recordAnswer(c, response, this.#options);
      return response;
    });
  }

  /** What fails for no fault of the request says nothing of the inside; the record does. */
  async #answer(handler: Handler, c: HostContext): Promise<Response> {
    try {
      return await handler(c);
    } catch (error) {
      if (error instanceof PendingLoginGone) return problemPage(LOGIN_GONE);
      if (error instanceof BodyUnread) return bodyUnread(error, c);
      const message = `login failed: ${faultOf(error)}`;
      this.#log.write(c, { level: "error", event: "oauth_failed", message });
      return problemPage(isStoreAway(this.#options.redis, error) ? LOGIN_UNAVAILABLE : LOGIN_FAILED);
    }
  }
}

function wrongMethod(handlers: Readonly<Record<string, Handler>>): Response {
  const allow = Object.keys(handlers).join(", ");
  return noted(new Response(null, { status: 405, headers: { allow } }), { reason: "method_not_allowed" });
}
