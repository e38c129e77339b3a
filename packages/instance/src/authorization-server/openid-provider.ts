import { createHash } from "node:crypto";
import {
  createRemoteJWKSet,
  customFetch,
  errors,
  jwtVerify,
  type JWTPayload,
  type JWTVerifyGetKey,
} from "jose";
import * as z from "zod";
import {
  IdentityProviderError,
  type FinishedLogin,
  type IdentityProvider,
  type LoginTrip,
  type Memberships,
} from "./identity-provider.ts";
import { ProviderHttp, type ProviderHttpOptions } from "./provider-http.ts";

/** This host's registration at an OpenID provider. */
export interface OpenIdClient {
  /** As the provider writes it, to the letter. */
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
}

const endpoint = z.url({ protocol: /^https$/ });
const discoverySchema = z.object({
  issuer: z.string(),
  authorization_endpoint: endpoint,
  token_endpoint: endpoint,
  jwks_uri: endpoint,
  userinfo_endpoint: endpoint.optional(),
  token_endpoint_auth_methods_supported: z.array(z.string()).default(["client_secret_basic"]),
  authorization_response_iss_parameter_supported: z.boolean().default(false),
});
const tokenSchema = z.object({ id_token: z.string(), access_token: z.string() });
const errorSchema = z.object({ error: z.string().regex(/^[a-z_]{1,60}$/) });
const emailSchema = z.object({ sub: z.string(), email: z.string().optional(), email_verified: z.unknown() });

/** `sub` goes into uids, records and headers (OpenID Connect Core section 2: at most 255 ASCII characters). */
const SUBJECT = /^[\u0021-\u007e]{1,255}$/;
/** Neither `none` nor HMAC: a key that verifies must not be one that anybody else can sign with. */
const ALGORITHMS = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];
/** Seconds that the clocks of provider and host may differ. */
const CLOCK_TOLERANCE = 60;
/** Seconds an id_token may be old: it was made for this login, moments ago. */
const MAX_AGE = 600;
/** Milliseconds that the discovery document is kept. */
const DISCOVERY_TTL_MS = 3_600_000;

interface Discovered {
  readonly document: z.infer<typeof discoverySchema>;
  readonly keys: JWTVerifyGetKey;
  /** `performance.now()` of when to look again. */
  readonly until: number;
}

/**
 * Any OpenID provider: discovery, authorization code with PKCE, an id_token that is verified. `sub` is who somebody is. The login
 * that is shown is the verified address, else `sub`: names such as `preferred_username` are chosen by the users themselves.
 */
export class OpenIdProvider implements IdentityProvider {
  readonly name = "oidc";
  readonly title: string;
  readonly #client: OpenIdClient;
  readonly #http: ProviderHttp;
  readonly #fetch: typeof globalThis.fetch | undefined;
  #discovered: Discovered | undefined;

  constructor(client: OpenIdClient, http?: ProviderHttpOptions) {
    this.#client = client;
    this.#http = new ProviderHttp(http);
    this.#fetch = http?.fetch;
    this.title = new URL(client.issuer).host;
  }

  /** OpenID Connect Core section 3.1.2.1, with PKCE (RFC 7636). */
  async begin(trip: LoginTrip & { chooseAccount: boolean }): Promise<URL> {
    const { document } = await this.#discover();
    const url = new URL(document.authorization_endpoint);
    const query = {
      response_type: "code",
      client_id: this.#client.clientId,
      redirect_uri: trip.redirectUri,
      scope: "openid email",
      state: trip.state,
      nonce: nonceOf(trip),
      code_challenge: createHash("sha256").update(trip.codeVerifier).digest("base64url"),
      code_challenge_method: "S256",
      ...(trip.chooseAccount ? { prompt: "select_account" } : {}),
    };
    // The endpoint may have a query of its own (RFC 6749 section 3.1).
    for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
    return url;
  }

  /** Redeems the code and believes the id_token only after every check of section 3.1.3.7. */
  async finish(trip: LoginTrip & { params: URLSearchParams }): Promise<FinishedLogin> {
    const { document, keys } = await this.#discover();
    this.#checkIssuer(trip.params, document.authorization_response_iss_parameter_supported);
    const tokens = await this.#exchange(trip, document);
    const claims = await this.#verify(tokens.id_token, keys);
    if (claims["nonce"] !== nonceOf(trip)) throw refused("the id_token was made for another login");
    const { sub = "" } = claims;
    if (!SUBJECT.test(sub)) throw refused("the id_token has no usable sub");
    const email = await this.#verifiedEmail(
      { ...claims, sub },
      { document, accessToken: tokens.access_token },
    );
    return {
      identity: {
        uid: `oidc:${sub}`,
        login: email ?? sub,
        email,
        emailVerified: email !== null,
        organisations: [],
        teams: [],
      },
      membershipToken: undefined,
    };
  }

  /** There are no memberships here; lists can't name any for this provider. */
  async recheck(): Promise<Memberships> {
    return { organisations: [], teams: [] };
  }

  /** OpenID Connect Discovery 1.0 section 4. The issuer in the document must be the one asked for (section 4.3). */
  async #discover(): Promise<Discovered> {
    if (this.#discovered !== undefined && this.#discovered.until > performance.now()) return this.#discovered;
    const { issuer } = this.#client;
    const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
    const { status, json } = await this.#http.request(url, { headers: { accept: "application/json" } });
    if (status !== 200) throw new IdentityProviderError("unavailable", `discovery: status ${status}`);
    const parsed = discoverySchema.safeParse(json);
    if (!parsed.success)
      throw new IdentityProviderError("misconfigured", "discovery: the document lacks what it must hold");
    if (parsed.data.issuer !== issuer)
      throw new IdentityProviderError("misconfigured", "discovery: the document is another issuer's");
    const keys = createRemoteJWKSet(
      new URL(parsed.data.jwks_uri),
      this.#fetch === undefined ? {} : { [customFetch]: this.#fetch },
    );
    this.#discovered = { document: parsed.data, keys, until: performance.now() + DISCOVERY_TTL_MS };
    return this.#discovered;
  }

  /** RFC 9207 section 2.4. */
  #checkIssuer(params: URLSearchParams, isPromised: boolean): void {
    const issuer = params.get("iss");
    if (issuer === null ? isPromised : issuer !== this.#client.issuer)
      throw refused("the callback does not come from the issuer");
  }

  /** The token request (section 3.1.3.1), authenticated as the provider's document allows (section 9). */
  async #exchange(
    { params, redirectUri, codeVerifier }: LoginTrip & { params: URLSearchParams },
    document: Discovered["document"],
  ): Promise<z.infer<typeof tokenSchema>> {
    const code = params.get("code");
    if (code === null) throw refused("the callback has no code");
    const { clientId, clientSecret } = this.#client;
    const isBasic = document.token_endpoint_auth_methods_supported.includes("client_secret_basic");
    const { status, json } = await this.#http.request(document.token_endpoint, {
      method: "POST",
      headers: {
        accept: "application/json",
        ...(isBasic ? { authorization: basicCredentials(clientId, clientSecret) } : {}),
      },
      body: new URLSearchParams({
        grant_type: "authorization_code",
        code,
        redirect_uri: redirectUri,
        code_verifier: codeVerifier,
        ...(isBasic ? {} : { client_id: clientId, client_secret: clientSecret }),
      }),
    });
    const tokens = tokenSchema.safeParse(json);
    if (status === 200 && tokens.success) return tokens.data;
    const word = errorSchema.safeParse(json).data?.error ?? `status ${status}`;
    const isOurs = ["invalid_client", "unauthorized_client", "unsupported_grant_type"].includes(word);
    throw new IdentityProviderError(isOurs ? "misconfigured" : "refused", `token endpoint: ${word}`);
  }

  /** OpenID Connect Core section 3.1.3.7. */
  async #verify(idToken: string, keys: JWTVerifyGetKey): Promise<JWTPayload> {
    const { issuer, clientId } = this.#client;
    try {
      const { payload } = await jwtVerify(idToken, keys, {
        issuer,
        audience: clientId,
        algorithms: ALGORITHMS,
        clockTolerance: CLOCK_TOLERANCE,
        maxTokenAge: MAX_AGE,
        requiredClaims: ["sub", "exp", "iat", "nonce"],
      });
      const isForOthersToo = Array.isArray(payload.aud) && payload.aud.length > 1;
      const party = payload["azp"] ?? (isForOthersToo ? undefined : clientId);
      if (party !== clientId) throw refused("the id_token was issued to another client");
      return payload;
    } catch (error) {
      if (error instanceof IdentityProviderError) throw error;
      if (!isAboutToken(error))
        throw new IdentityProviderError("unavailable", "the provider's keys can't be read", { cause: error });
      throw refused(`id_token: ${error.code}`);
    }
  }

  /** With a code many providers give the address from userinfo only (OpenID Connect Core section 5.4). */
  async #verifiedEmail(
    claims: JWTPayload & { sub: string },
    { document, accessToken }: { document: Discovered["document"]; accessToken: string },
  ): Promise<string | null> {
    const inToken = emailSchema.safeParse(claims);
    if (inToken.success && inToken.data.email !== undefined) return verified(inToken.data);
    if (document.userinfo_endpoint === undefined) return null;
    const { status, json } = await this.#http.request(document.userinfo_endpoint, {
      headers: { accept: "application/json", authorization: `Bearer ${accessToken}` },
    });
    const asked = emailSchema.safeParse(json);
    // An answer about somebody else must not be used (section 5.3.2).
    return status === 200 && asked.success && asked.data.sub === claims.sub ? verified(asked.data) : null;
  }
}

/** Only the boolean: what else a provider writes there was never promised to mean a check. */
function verified({
  email,
  email_verified,
}: {
  email?: string | undefined;
  email_verified?: unknown;
}): string | null {
  return email !== undefined && email_verified === true && /^[\u0021-\u007e]{3,254}$/.test(email)
    ? email
    : null;
}

/** Anything else went wrong while the keys were fetched: no answer, another status than 200, none in time. */
function isAboutToken(error: unknown): error is errors.JOSEError {
  return (
    error instanceof errors.JOSEError &&
    error.code !== errors.JOSEError.code &&
    !(error instanceof errors.JWKSTimeout || error instanceof errors.JWKSInvalid)
  );
}

/** Bound to the trip by its verifier, which no one else knows; a nonce of its own would have to be kept as well. */
function nonceOf({ codeVerifier }: LoginTrip): string {
  return createHash("sha256").update(`nonce ${codeVerifier}`).digest("base64url");
}

/** RFC 6749 section 2.3.1: both parts are form-encoded first. */
function basicCredentials(id: string, secret: string): string {
  const encode = (text: string): string => new URLSearchParams({ "": text }).toString().slice(1);
  return `Basic ${Buffer.from(`${encode(id)}:${encode(secret)}`).toString("base64")}`;
}

function refused(message: string): IdentityProviderError {
  return new IdentityProviderError("refused", message);
}
