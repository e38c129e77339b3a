import {
  Provider,
  errors,
  interactionPolicy,
  type Configuration,
  type KoaContextWithOIDC,
} from "oidc-provider";
import { randomBytes } from "node:crypto";
import type { HostConfig } from "@gatehouse/shared/host-config";
import { canonicalResource, endpointResource, type ResourceHost } from "../oauth/resource.ts";
import type { SigningKeys } from "../oauth/signing-key.ts";
import { accountOf, findAccount, tokenPayload } from "./account.ts";
import { compareSecrets } from "./client-adapter.ts";
import { MAX_DOCUMENT_BYTES, MAX_KEY_SET_BYTES, type DocumentFetcher } from "./document-fetch.ts";
import { engineFetch, mayFetchDocument } from "./engine-fetch.ts";
import { EngineRequest, SESSION_COOKIE } from "./engine-exchange.ts";
import { nowSeconds, type OAuthStore } from "./oauth-store.ts";
import type { Login } from "./pending-login.ts";
import { redisAdapters } from "./redis-adapter.ts";
import { RefreshTokens } from "./refresh-tokens.ts";
import { CLIENT_AUTH_METHODS, GRANT_TYPES, REQUESTED_SCOPE, SIGNING_ALGORITHMS } from "./protocol.ts";
import { applyClientPolicy, EXTRA_CLIENT_METADATA } from "./client-policy.ts";

export interface ProviderOptions {
  /** Issuer and origin: `https://HOST[:port]`, no trailing slash. */
  readonly origin: string;
  readonly hostConfig: () => HostConfig;
  readonly store: OAuthStore;
  readonly login: Pick<Login, "reassess">;
  readonly documents: DocumentFetcher;
  /** Private-use schemes that redirect URIs may have, with the colon. */
  readonly redirectSchemes: readonly string[];
}

/**
 * Builds the engine for one set of signing keys (a millisecond; keys are fixed at construction, so a rotation builds another).
 * Every default of the engine that would print, show a page or do more than this host advertises is replaced or off.
 */
export function buildProvider(options: ProviderOptions, keys: SigningKeys): Provider {
  const { store, origin } = options;
  const refreshTokens = new RefreshTokens(store);
  const provider = new Provider(origin, {
    adapter: redisAdapters(store, refreshTokens),
    jwks: { keys: [privateJwk(keys)] },
    ...protocolOptions(),
    ...lifetimeOptions(store),
    ...tokenOptions(options),
    features: features(options),
    cookies: COOKIES,
    interactions: {
      url: (_context, interaction) => `/interaction/${interaction.uid}`,
      policy: [ASK_ALWAYS],
    },
    // Without a token the account is that of the login that just ended.
    findAccount: async (context, uid, source) =>
      await findAccount(options, uid, {
        grantId: source?.grantId ?? context.oidc.result?.consent?.grantId,
        context,
        ...(source === undefined ? {} : { kind: source.kind }),
      }),
    loadExistingGrant,
    renderError: (context, out) => keepProblem(context, out),
    extraClientMetadata: {
      properties: [...EXTRA_CLIENT_METADATA],
      // Called once for each property; the policy is about the whole.
      // oxlint-disable-next-line max-params -- the engine's signature
      validator: (_context, name, _value, metadata) => {
        if (name === EXTRA_CLIENT_METADATA[0]) applyClientPolicy(metadata, options.redirectSchemes);
      },
    },
    fetch: async (url, init) =>
      await engineFetch(options.documents, url instanceof Request ? url.url : url.toString(), init?.signal),
    fetchResponseBodyLimits: {
      "client_id metadata document": MAX_DOCUMENT_BYTES,
      jwks_uri: MAX_KEY_SET_BYTES,
      sector_identifier_uri: 0,
    },
  });
  provider.proxy = false;
  provider.silent = true;
  refreshTokens.install(provider);
  compareSecrets(provider);
  return provider;
}

/** The engine takes keys as JWKs only. */
function privateJwk({ active }: SigningKeys): Record<string, unknown> & { kty: "RSA" } {
  return {
    ...active.privateKey.export({ format: "jwk" }),
    kty: "RSA",
    kid: active.kid,
    alg: "RS256",
    use: "sig",
  };
}

function protocolOptions(): Partial<Configuration> {
  return {
    routes: {
      authorization: "/authorize",
      token: "/token",
      registration: "/register",
      revocation: "/revoke",
      introspection: "/introspect",
      jwks: "/jwks",
    },
    responseTypes: ["code"],
    clientAuthMethods: [...CLIENT_AUTH_METHODS],
    enabledJWA: { clientAuthSigningAlgValues: [...SIGNING_ALGORITHMS] },
    clientDefaults: {
      grant_types: [...GRANT_TYPES],
      response_types: ["code"],
      id_token_signed_response_alg: "RS256",
    },
    scopes: [],
    claims: {},
    extraParams: [REQUESTED_SCOPE],
    pkce: { required: () => true },
    allowOmittingSingleRegisteredRedirectUri: true,
    // CORS is answered in front of the engine, the same for every endpoint that has it.
    clientBasedCORS: () => false,
  };
}

function lifetimeOptions({ lifetimes }: OAuthStore): Partial<Configuration> {
  return {
    ttl: {
      AccessToken: lifetimes.accessToken,
      AuthorizationCode: lifetimes.code,
      Grant: lifetimes.grant,
      Interaction: lifetimes.pendingLogin,
      Session: lifetimes.pendingLogin,
      RefreshToken: (_context, token) => {
        const familyEnd = (token.iiat ?? nowSeconds()) + lifetimes.grant;
        return Math.max(1, Math.min(lifetimes.refreshToken, familyEnd - nowSeconds()));
      },
    },
    expiresWithSession: async () => false,
    issueRefreshToken: async (_context, client) => client.grantTypeAllowed("refresh_token"),
    rotateRefreshToken: true,
  };
}

function tokenOptions({ store, origin }: ProviderOptions): Partial<Configuration> {
  return {
    formats: {
      customizers: {
        // Awaited by the engine: when the record can't be written, no token leaves.
        jwt: async (context, token, structured) => {
          const subject = accountOf(context);
          const payload = tokenPayload(token, subject);
          Object.assign(structured.payload, payload);
          const { iat, exp, jti } = structured.payload;
          await store.recordToken({
            hostname: store.hostname,
            jti: String(jti),
            sub: payload.sub,
            uid: payload.uid,
            client_id: token.clientId ?? "",
            scope: token.scope ?? "",
            aud: payload.aud,
            iss: origin,
            iat: Number(iat),
            exp: Number(exp),
            grant_id: "grantId" in token ? (token.grantId ?? "") : "",
          });
        },
      },
    },
  };
}

function features(options: ProviderOptions): Configuration["features"] {
  const { documents } = options;
  return {
    devInteractions: { enabled: false },
    userinfo: { enabled: false },
    rpInitiatedLogout: { enabled: false },
    pushedAuthorizationRequests: { enabled: false },
    dPoP: { enabled: false },
    revocation: {
      enabled: true,
      allowedPolicy: async (_context, client, token) => token.clientId === client.clientId,
    },
    introspection: {
      enabled: true,
      allowedPolicy: async (_context, client, token) => token.clientId === client.clientId,
    },
    registration: {
      enabled: true,
      idFactory: () => `client_${randomBytes(16).toString("base64url")}`,
      secretFactory: () => randomBytes(32).toString("base64url"),
      issueRegistrationAccessToken: true,
    },
    // A rotation whose answer is lost would leave the client without a way to manage itself.
    registrationManagement: { enabled: true, rotateRegistrationAccessToken: false },
    clientIdMetadataDocument: {
      enabled: true,
      ack: "draft-02",
      // Without a context when a consent page asks who the client is.
      allowFetch: async (context: KoaContextWithOIDC | undefined, clientId: string) =>
        mayFetchDocument(documents, context?.req, clientId),
      allowClient: async () => true,
      // Every token request looks at the document: a client must not fail because its site is away for a moment.
      cacheDuration: { min: 300, max: 86_400 },
    },
    resourceIndicators: resourceIndicators(options),
  };
}

function resourceIndicators({ origin, hostConfig, store }: ProviderOptions) {
  const host = (): ResourceHost => ({ origin, endpoint: hostConfig().resource_endpoint });
  return {
    enabled: true,
    defaultResource: async (_context: unknown, _client: unknown, oneOf?: readonly string[]) => {
      const endpoint = endpointResource(host());
      return oneOf === undefined || oneOf.includes(endpoint) ? endpoint : (oneOf[0] ?? endpoint);
    },
    useGrantedResource: async () => true,
    getResourceServerInfo: async (context: KoaContextWithOIDC, resource: string) => {
      if (canonicalResource(resource, host()) !== resource) throw new errors.InvalidTarget();
      // At a refresh the account says what is left; anywhere else the grant alone limits.
      const scopes = accountOf(context)?.scopes ?? hostConfig().auth_allowed_scopes;
      return {
        scope: scopes.join(" "),
        audience: resource,
        accessTokenTTL: store.lifetimes.accessToken,
        accessTokenFormat: "jwt" as const,
        jwt: { sign: { alg: "RS256" as const } },
      };
    },
  };
}

/** Name of the cookie that binds a consent page to the browser that started its authorization. */
export const INTERACTION_COOKIE = "__Secure-gatehouse-interaction";

/** `__Secure-` and not `__Host-`: the engine's cookies are good for one path each, the one that may use them. */
const COOKIES: NonNullable<Configuration["cookies"]> = {
  names: {
    session: SESSION_COOKIE,
    interaction: INTERACTION_COOKIE,
    resume: "__Secure-gatehouse-resume",
  },
  short: { httpOnly: true, sameSite: "lax", signed: false },
  long: { httpOnly: true, sameSite: "lax", signed: false },
};

/** Consent and login are asked at every authorization: approval once given must not be used by whoever comes next. */
const ASK_ALWAYS = new interactionPolicy.Prompt(
  { name: "login", requestable: false },
  new interactionPolicy.Check(
    "every_authorization",
    "the person is asked at every authorization",
    "login_required",
    (context) => context.oidc.result?.login === undefined,
  ),
);

/** A grant is made by the login that just ended, and only that one is used. */
async function loadExistingGrant(context: KoaContextWithOIDC) {
  const grantId = context.oidc.result?.consent?.grantId;
  return grantId === undefined ? undefined : await context.oidc.provider.Grant.find(grantId);
}

function keepProblem(
  context: KoaContextWithOIDC,
  out: { error: string; error_description?: string | undefined },
): void {
  if (!(context.req instanceof EngineRequest)) return;
  context.req.pageProblem = {
    status: context.status,
    error: out.error,
    description: out.error_description ?? "",
  };
}
