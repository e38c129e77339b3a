import type { MiddlewareHandler } from "hono";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { deleteClient, revokeToken } from "@gatehouse/shared/oauth-revocation";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import type { App, AppBindings } from "../app.ts";
import { faultOf } from "../fault.ts";
import { DEFAULT_LIFETIMES, type Lifetimes } from "../oauth/lifetimes.ts";
import { SigningKeyRing } from "../oauth/signing-key.ts";
import {
  AuthorizationLimit,
  DEFAULT_ABUSE_LIMITS,
  FailureLimit,
  retryAfter,
  type AbuseLimits,
} from "./abuse-limits.ts";
import { noted, recordAnswer } from "./answer-record.ts";
import { DocumentFetcher, type DocumentFetcherOptions } from "./document-fetch.ts";
import { bodyUnread, BodyUnread } from "./body-bytes.ts";
import { Endpoints, type HostContext } from "./endpoints.ts";
import { Engine, EngineFailure, FetchLimitReached } from "./engine.ts";
import type { PageProblem } from "./engine-exchange.ts";
import { authorizationServerMetadata, openidConfiguration } from "./metadata.ts";
import { OAuthStore } from "./oauth-store.ts";
import { oauthReason } from "./oauth-reason.ts";
import type { Login } from "./pending-login.ts";
import { EngineLogins } from "./pending-logins.ts";
import {
  DEFAULT_REGISTRATION_LIMITS,
  RegistrationCounter,
  type RegistrationLimits,
} from "./registration-counter.ts";
import { traceOf } from "./request-trace.ts";
import { isStoreAway } from "./store-errors.ts";

export interface AuthorizationServerOptions {
  readonly hostname: Hostname;
  /** `https://HOST`, with the port where that is not 443; no trailing slash. Issuer, audience and base of every URL. */
  readonly origin: string;
  readonly hostConfig: () => HostConfig;
  readonly redis: RedisClient;
  /** Root keys, or this hostname's own. */
  readonly sealing: SealingKeys;
  readonly log: RecordLog;
  readonly login: Login;
  readonly lifetimes?: Partial<Lifetimes>;
  readonly registrationLimits?: Partial<RegistrationLimits>;
  readonly abuseLimits?: Partial<AbuseLimits>;
  /** Private-use schemes that redirect URIs may have, with the colon. Default `cursor:`. */
  readonly redirectSchemes?: readonly string[];
  readonly documents?: DocumentFetcherOptions;
  /** Text of the signing keys as last known, for a start while Redis is away. */
  readonly signingKeyCopy?: string | null;
}

/** Seconds after which a client may try again when the store is away. */
const RETRY_AFTER = "5";

/** Seconds that metadata and keys may be kept: a rotation leaves the old key verifying for longer. */
const METADATA_MAX_AGE = 300;

const PREFLIGHT_MAX_AGE = 3600;

const DISCOVERY = "/.well-known/oauth-authorization-server";
const OPENID_DISCOVERY = "/.well-known/openid-configuration";

/** The engine's id of a started authorization. What else stands below `/authorize` is the resource's. */
const UID = String.raw`[\w-]{43}`;

/** What one path does, by method. */
interface Endpoint {
  readonly handlers: Readonly<Record<string, Handler>>;
  /** Scripts in a browser may call it: all but `/authorize` (RFC 9700 section 2.6). */
  readonly forScripts: boolean;
}

type Handler = (c: HostContext) => Response | Promise<Response>;
type Middleware = MiddlewareHandler<{ Bindings: AppBindings }>;

/** The authorization server of one hostname, at the host's own root (contract section 5). */
export class AuthorizationServer {
  /** The signing keys, for whoever verifies what they signed. */
  readonly signingKeys: SigningKeyRing;
  readonly #options: AuthorizationServerOptions;
  readonly #documents: DocumentFetcher;
  readonly #engine: Engine;
  readonly #logins: EngineLogins;
  readonly #endpoints: Endpoints;

  private constructor(
    options: AuthorizationServerOptions,
    place: { sealing: SealingKeys; keys: SigningKeyRing },
  ) {
    const { origin, hostConfig, log, login, redis, hostname } = options;
    const { sealing, keys } = place;
    const redirectSchemes = options.redirectSchemes ?? ["cursor:"];
    const lifetimes = { ...DEFAULT_LIFETIMES, ...options.lifetimes };
    const abuse = { ...DEFAULT_ABUSE_LIMITS, ...options.abuseLimits };
    const limits = { ...DEFAULT_REGISTRATION_LIMITS, ...options.registrationLimits };
    const store = new OAuthStore({ redis, hostname, sealing, lifetimes });
    const documents = new DocumentFetcher(options.documents);
    const engine = new Engine({ origin, hostConfig, log, login, store, redirectSchemes, keys, documents });
    this.signingKeys = keys;
    this.#options = options;
    this.#documents = documents;
    this.#engine = engine;
    this.#logins = new EngineLogins({ engine, store, redirectSchemes });
    this.#endpoints = new Endpoints({
      engine,
      origin,
      store,
      limits: {
        registrations: new RegistrationCounter({ redis, hostname, limits, schemes: redirectSchemes }),
        authorizations: new AuthorizationLimit(abuse),
        failures: new FailureLimit(abuse),
      },
      keys: () => keys.current,
      errorPage: (problem) => login.errorPage(problem),
    });
  }

  /**
   * Opens the signing keys and builds the engine.
   * @throws {TypeError} when the sealing keys are another hostname's; `SigningKeyError` when the signing keys can't be opened.
   */
  static async open(options: AuthorizationServerOptions): Promise<AuthorizationServer> {
    const { hostname, redis, signingKeyCopy } = options;
    const sealing = options.sealing.forHostname(hostname);
    if (sealing === undefined) throw new TypeError(`the sealing keys are not those of ${hostname}`);
    const copy = signingKeyCopy === undefined ? {} : { copy: signingKeyCopy };
    const keys = await SigningKeyRing.open({ redis, hostname, sealing, ...copy });
    return new AuthorizationServer(options, { sealing, keys });
  }

  /** Mounts everything that is the authorization server's, the login's pages included. On an open host it all falls through. */
  routes(app: App): void {
    // First: the login has a word to add to the answers of `/authorize`.
    this.#options.login.routes(app, this.#logins);
    for (const [path, endpoint] of Object.entries(this.#paths())) app.all(path, this.#serve(endpoint));
  }

  #paths(): Readonly<Record<string, Endpoint>> {
    const endpoints = this.#endpoints;
    const browser = (handler: Handler): Endpoint => ({ handlers: { GET: handler }, forScripts: false });
    const scripts = (handlers: Endpoint["handlers"]): Endpoint => ({ handlers, forScripts: true });
    return {
      "/authorize": browser((c) => endpoints.authorize(c)),
      [`/authorize/:uid{${UID}}`]: browser((c) => endpoints.resume(c)),
      "/register": scripts({ POST: (c) => endpoints.register(c) }),
      "/register/:clientId": scripts({
        GET: (c) => endpoints.manage(c),
        PUT: (c) => endpoints.manage(c),
        DELETE: (c) => endpoints.manage(c),
      }),
      "/token": scripts({ POST: (c) => endpoints.token(c) }),
      "/revoke": scripts({ POST: (c) => endpoints.revoke(c) }),
      "/introspect": scripts({ POST: (c) => endpoints.introspect(c) }),
      "/jwks": scripts({ GET: () => publicJson({ keys: this.signingKeys.current.public }) }),
      [`${DISCOVERY}/*`]: scripts({ GET: (c) => this.#metadata(c, DISCOVERY, authorizationServerMetadata) }),
      [`${OPENID_DISCOVERY}/*`]: scripts({
        GET: (c) => this.#metadata(c, OPENID_DISCOVERY, openidConfiguration),
      }),
    };
  }

  /** Takes what stands under the Redis key of the signing keys; to be called with each change. Never throws. */
  signingKeysTold(text: string | null): void {
    const problem = this.signingKeys.told(text);
    if (problem === undefined) return;
    const { log, hostname } = this.#options;
    const message = `signing keys not taken, the known ones stay: ${problem}`;
    log.write({
      time: Date.now(),
      level: "error",
      component: "oauth",
      event: "signing_key_bad",
      hostname,
      message,
    });
  }

  /** Revokes one access token; false when there is none of that id here. */
  async revokeToken(jti: string): Promise<boolean> {
    return await revokeToken(this.#options.redis, this.#options.hostname, jti);
  }

  /** Deletes a client with its grants and tokens; false when there is none of that id here. */
  async deleteClient(clientId: string): Promise<boolean> {
    return await deleteClient(this.#options.redis, this.#options.hostname, clientId);
  }

  async close(): Promise<void> {
    this.#engine.close();
    await this.#documents.close();
  }

  /** Clients insert the path of the URL they were given (RFC 8414 section 3.1); of those only the endpoint's is known here. */
  #metadata(
    { req, env }: HostContext,
    path: string,
    document: (origin: string, config: HostConfig) => object,
  ): Response {
    const { hostConfig } = env.context;
    const inserted = req.path.slice(path.length);
    return inserted === "" || inserted === hostConfig.resource_endpoint
      ? publicJson(document(this.#options.origin, hostConfig))
      : noted(new Response(null, { status: 404 }), { reason: "no_such_resource" });
  }

  /** Answers on protected hosts, and writes the one record of each request; on open ones the path is the upstream's. */
  #serve(endpoint: Endpoint): Middleware {
    return async (c, next) => {
      if (!c.env.context.hostConfig.auth_enabled) {
        await next();
        return;
      }
      const response = await this.#answer(endpoint, c);
      response.headers.set("x-content-type-options", "nosniff");
      if (endpoint.forScripts) allowScripts(response.headers);
      recordAnswer(c, response, this.#options);
      return response;
    };
  }

  /** What fails for no fault of the request is a 503 or 500 that says nothing of the inside. */
  async #answer({ handlers, forScripts }: Endpoint, c: HostContext): Promise<Response> {
    const { method } = c.req;
    if (method === "OPTIONS" && forScripts) return preflight(c, Object.keys(handlers));
    const handler = handlers[method === "HEAD" ? "GET" : method];
    if (handler === undefined) return wrongMethod(handlers);
    try {
      return await handler(c);
    } catch (error) {
      if (error instanceof BodyUnread) return bodyUnread(error, c);
      if (error instanceof FetchLimitReached) return this.#unavailable(c, retryAfter(error.waitMs));
      return this.#failed(error, c);
    }
  }

  #failed(error: unknown, c: HostContext): Response {
    const { redis } = this.#options;
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const isAway = isStoreAway(redis, cause);
    // What the engine failed at it has recorded itself.
    if (!(error instanceof EngineFailure)) {
      const message = `failed: ${faultOf(cause)}`;
      this.#engine.record(traceOf(c), { level: "error", event: "oauth_failed", message });
    }
    if (isAway) return this.#unavailable(c, RETRY_AFTER);
    return this.#problem(c, {
      status: 500,
      error: "server_error",
      description: "something failed on this server",
    });
  }

  #unavailable(c: HostContext, seconds: string): Response {
    const answer = this.#problem(c, {
      status: 503,
      error: "temporarily_unavailable",
      description: "please try again in a moment",
    });
    answer.headers.set("retry-after", seconds);
    return answer;
  }

  #problem(c: HostContext, problem: PageProblem): Response {
    const { status, error, description } = problem;
    const answer = c.req.path.startsWith("/authorize")
      ? this.#options.login.errorPage(problem)
      : Response.json({ error, error_description: description }, { status });
    answer.headers.set("cache-control", "no-store");
    return noted(answer, { reason: oauthReason(error) });
  }
}

/** Any origin: what these endpoints give is given for credentials in the request itself, never for cookies. */
function allowScripts(headers: Headers): void {
  headers.set("access-control-allow-origin", "*");
  headers.set("access-control-expose-headers", "WWW-Authenticate, Retry-After");
}

/** The answer to a preflight: any request header passes, they mean nothing here that a script could not send otherwise. */
function preflight(c: HostContext, methods: readonly string[]): Response {
  const asked = c.req.header("access-control-request-headers");
  const headers = new Headers({
    "access-control-allow-methods": methods.join(", "),
    "access-control-max-age": String(PREFLIGHT_MAX_AGE),
    vary: "Access-Control-Request-Headers",
  });
  if (asked !== undefined) headers.set("access-control-allow-headers", asked);
  return new Response(null, { status: 204, headers });
}

function publicJson(document: object): Response {
  return Response.json(document, { headers: { "cache-control": `public, max-age=${METADATA_MAX_AGE}` } });
}

function wrongMethod(handlers: Endpoint["handlers"]): Response {
  const allow = "GET" in handlers ? ["HEAD", ...Object.keys(handlers)] : Object.keys(handlers);
  const answer = new Response(null, { status: 405, headers: { allow: allow.join(", ") } });
  return noted(answer, { reason: "method_not_allowed" });
}
