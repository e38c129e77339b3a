import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import type { Redis } from "ioredis";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { deleteClient, revokeToken } from "@gatehouse/shared/oauth-revocation";
import type { SealingKeys } from "@gatehouse/shared/sealing";
import { AccessRecord } from "../access-log.ts";
import type { App, AppBindings } from "../app.ts";
import { DEFAULT_LIFETIMES, type Lifetimes } from "../oauth/lifetimes.ts";
import { SigningKeyRing } from "../oauth/signing-key.ts";
import { DocumentFetcher, type DocumentFetcherOptions } from "./document-fetch.ts";
import { Endpoints, type HostContext } from "./endpoints.ts";
import { Engine } from "./engine.ts";
import { authorizationServerMetadata, openidConfiguration } from "./metadata.ts";
import { OAuthStore } from "./oauth-store.ts";
import type { Login } from "./pending-login.ts";
import { EngineLogins } from "./pending-logins.ts";
import { DEFAULT_REGISTRATION_LIMITS, RegistrationCounter, type RegistrationLimits } from "./register.ts";

export interface AuthorizationServerOptions {
  readonly hostname: Hostname;
  /** `https://HOST`, with the port where that is not 443; no trailing slash. Issuer, audience and base of every URL. */
  readonly origin: string;
  readonly hostConfig: () => HostConfig;
  readonly redis: Redis;
  /** Root keys, or this hostname's own. */
  readonly sealing: SealingKeys;
  readonly log: RecordLog;
  readonly login: Login;
  readonly lifetimes?: Partial<Lifetimes>;
  readonly registrationLimits?: Partial<RegistrationLimits>;
  /** Private-use schemes that redirect URIs may have, with the colon. Default `cursor:`. */
  readonly redirectSchemes?: readonly string[];
  readonly documents?: DocumentFetcherOptions;
  /** Text of the signing keys as last known, for a start while Redis is away. */
  readonly signingKeyCopy?: string | null;
}

/** Largest body of any endpoint here; registrations with a key set are the longest, at a few KiB. */
const MAX_BODY_BYTES = 32 * 1024;

/** Seconds after which a client may try again when the store is away. */
const RETRY_AFTER = "5";

/** Seconds that metadata and keys may be kept: a rotation leaves the old key verifying for longer. */
const METADATA_MAX_AGE = 300;

const DISCOVERY = "/.well-known/oauth-authorization-server";
const OPENID_DISCOVERY = "/.well-known/openid-configuration";

/** Endpoints that scripts in a browser may call (RFC 9700 section 2.6); `/authorize` never is one. */
const SCRIPT_PATHS = [
  `${DISCOVERY}/*`,
  `${OPENID_DISCOVERY}/*`,
  "/jwks",
  "/register/*",
  "/token",
  "/revoke",
  "/introspect",
];

/** Paths that are ours whatever the method, and the methods they have. */
const ALLOWED_METHODS: readonly (readonly [path: string, methods: string])[] = [
  ["/authorize", "GET, HEAD"],
  ["/authorize/:uid", "GET, HEAD"],
  ["/jwks", "GET, HEAD"],
  ["/register", "POST"],
  ["/register/:clientId", "GET, HEAD, PUT, DELETE"],
  ["/token", "POST"],
  ["/revoke", "POST"],
  ["/introspect", "POST"],
  [`${DISCOVERY}/*`, "GET, HEAD"],
  [`${OPENID_DISCOVERY}/*`, "GET, HEAD"],
];

type Handler = (c: HostContext) => Response | Promise<Response>;
type Middleware = MiddlewareHandler<{ Bindings: AppBindings }>;

/** The authorization server of one hostname, at the host's own root (contract section 5). */
export class AuthorizationServer {
  /** The signing keys; to be told of each change of their Redis key. */
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
      counter: new RegistrationCounter({ redis, hostname, limits, schemes: redirectSchemes }),
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
    const endpoints = this.#endpoints;
    for (const path of [...SCRIPT_PATHS, "/authorize/*"]) app.use(path, this.#recorded());
    for (const path of SCRIPT_PATHS)
      app.use(path, onProtectedHosts(ALLOW_SCRIPTS), onProtectedHosts(LIMIT_BODY));
    app.get(
      "/authorize",
      this.#ours(async (c) => await endpoints.authorize(c)),
    );
    app.get(
      "/authorize/:uid",
      this.#ours(async (c) => await endpoints.resume(c)),
    );
    app.post(
      "/register",
      this.#ours(async (c) => await endpoints.register(c)),
    );
    app.on(
      ["GET", "PUT", "DELETE"],
      "/register/:clientId",
      this.#ours(async (c) => await endpoints.manage(c)),
    );
    app.post(
      "/token",
      this.#ours(async (c) => await endpoints.token(c)),
    );
    app.post(
      "/revoke",
      this.#ours(async (c) => await endpoints.revoke(c)),
    );
    app.post(
      "/introspect",
      this.#ours(async (c) => await endpoints.introspect(c)),
    );
    app.get(
      "/jwks",
      this.#ours(() => publicJson({ keys: this.signingKeys.current.public })),
    );
    this.#metadata(app, DISCOVERY, authorizationServerMetadata);
    this.#metadata(app, OPENID_DISCOVERY, openidConfiguration);
    for (const [path, methods] of ALLOWED_METHODS)
      app.all(
        path,
        this.#ours(() => wrongMethod(methods)),
      );
    this.#options.login.routes(app, this.#logins);
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
  #metadata(app: App, path: string, document: (origin: string, config: HostConfig) => object): void {
    const answer = this.#ours((c) => {
      const { hostConfig } = c.env.context;
      const inserted = c.req.path.slice(path.length);
      return inserted === "" || inserted === hostConfig.resource_endpoint
        ? publicJson(document(this.#options.origin, hostConfig))
        : new Response(null, { status: 404 });
    });
    app.get(`${path}/*`, answer);
  }

  /** Answers on protected hosts; what fails for no fault of the request is a 503 or 500 that says nothing of the inside. */
  #ours(handler: Handler): Middleware {
    return async (c, next) => {
      if (!c.env.context.hostConfig.auth_enabled) {
        await next();
        return;
      }
      try {
        return await handler(c);
      } catch (error) {
        return this.#failed(error, c);
      }
    };
  }

  #failed(error: unknown, c: HostContext): Response {
    const { redis, log, hostname, login } = this.#options;
    const isStoreAway = redis.status !== "ready";
    const cause = error instanceof Error ? (error.cause ?? error) : error;
    const message = `failed: ${cause instanceof Error ? cause.message : String(cause)}`;
    const { id } = c.env.context;
    log.write({
      time: Date.now(),
      level: "error",
      component: "oauth",
      event: "oauth_failed",
      hostname,
      req: id,
      message,
    });
    const problem = isStoreAway
      ? { status: 503, error: "temporarily_unavailable", description: "please try again in a moment" }
      : { status: 500, error: "server_error", description: "something failed on this server" };
    const answer = c.req.path.startsWith("/authorize")
      ? login.errorPage(problem)
      : Response.json(
          { error: problem.error, error_description: problem.description },
          { status: problem.status },
        );
    answer.headers.set("cache-control", "no-store");
    if (isStoreAway) answer.headers.set("retry-after", RETRY_AFTER);
    return answer;
  }

  /** The one record of a request that is answered here. */
  #recorded(): Middleware {
    return async (c, next) => {
      const { context } = c.env;
      await next();
      if (!context.hostConfig.auth_enabled) return;
      const access = new AccessRecord(this.#options.log, {
        hostname: this.#options.hostname,
        method: c.req.method,
        // The id in the path of a started authorization is also the value of its cookie.
        path: c.req.path.replace(/^(\/authorize)\/.*/, "$1/…"),
        context,
      });
      access.status = c.res.status;
      access.endedBy = "gateway";
      access.ended();
    };
  }
}

/** Any origin: what these endpoints give is given for credentials in the request itself, never for cookies. */
const ALLOW_SCRIPTS: Middleware = cors({ origin: "*", exposeHeaders: ["WWW-Authenticate"], maxAge: 3600 });

const LIMIT_BODY: Middleware = bodyLimit({
  maxSize: MAX_BODY_BYTES,
  onError: () =>
    Response.json({ error: "invalid_request", error_description: "the body is too large" }, { status: 413 }),
});

function onProtectedHosts(middleware: Middleware): Middleware {
  return async (c, next) => {
    if (c.env.context.hostConfig.auth_enabled) return await middleware(c, next);
    await next();
  };
}

function publicJson(document: object): Response {
  return Response.json(document, { headers: { "cache-control": `public, max-age=${METADATA_MAX_AGE}` } });
}

function wrongMethod(methods: string): Response {
  return new Response(null, { status: 405, headers: { allow: methods } });
}
