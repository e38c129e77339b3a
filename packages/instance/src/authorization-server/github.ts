import { createHash } from "node:crypto";
import * as z from "zod";
import type { Identity } from "../oauth/identity.ts";
import {
  IdentityProviderError,
  type FinishedLogin,
  type IdentityProvider,
  type LoginTrip,
  type Memberships,
} from "./identity-provider.ts";
import { ProviderHttp, type ProviderAnswer, type ProviderHttpOptions } from "./provider-http.ts";

/** An OAuth app at GitHub. */
export interface GitHubApp {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** Where GitHub is, without trailing slash. */
export interface GitHubPlace {
  /** Pages and tokens: `https://github.com`. */
  readonly url: string;
  /** `https://api.github.com`. */
  readonly apiUrl: string;
}

/** GitHub's answers hold far more; what is not listed is never looked at. */
const tokenSchema = z.object({ access_token: z.string().min(1), token_type: z.string().regex(/^bearer$/i) });
const errorSchema = z.object({ error: z.string() });
const userSchema = z.object({
  id: z.int().positive(),
  // Wider than GitHub's own rule (enterprise users have an underscore), yet nothing that could break a header.
  login: z
    .string()
    .regex(/^[\w.-]+(?:\[bot\])?$/)
    .max(100),
});
const emailsSchema = z.array(z.object({ email: z.string(), primary: z.boolean(), verified: z.boolean() }));
const organisationSchema = z.object({ login: z.string() });
const teamSchema = z.object({ slug: z.string(), organization: organisationSchema });

/** Errors of the token endpoint that only the operator can mend; all others are about this one login. */
const OPERATOR_ERRORS: ReadonlySet<string> = new Set([
  "incorrect_client_credentials",
  "redirect_uri_mismatch",
  "Not Found",
]);

/** Words of GitHub's documentation; another text in `error` is not repeated in a record. */
const KNOWN_ERROR = /^(?:[a-z_]{1,60}|Not Found)$/;

const PAGE_SIZE = 100;
/** A bound for the loop; a thousand teams is more than anyone has. */
const MAX_PAGES = 10;

/** GitHub, or a server that speaks as it does. The numeric id is who somebody is; the login is only shown. */
export class GitHub implements IdentityProvider {
  readonly name = "github";
  readonly title = "GitHub";
  readonly #app: GitHubApp;
  readonly #place: GitHubPlace;
  readonly #http: ProviderHttp;

  constructor(app: GitHubApp, place: GitHubPlace, http?: ProviderHttpOptions) {
    this.#app = app;
    this.#place = place;
    this.#http = new ProviderHttp(http);
  }

  /**
   * GitHub takes PKCE with S256 and binds the code to it. `user:email` is the narrowest scope that shows the verified address;
   * `read:org` is asked for only where lists name organisations or teams.
   */
  async begin(trip: LoginTrip & { chooseAccount: boolean }): Promise<URL> {
    const url = new URL(`${this.#place.url}/login/oauth/authorize`);
    url.search = new URLSearchParams({
      client_id: this.#app.clientId,
      redirect_uri: trip.redirectUri,
      scope: trip.needsMembership ? "user:email read:org" : "user:email",
      state: trip.state,
      code_challenge: createHash("sha256").update(trip.codeVerifier).digest("base64url"),
      code_challenge_method: "S256",
      ...(trip.chooseAccount ? { prompt: "select_account" } : {}),
    }).toString();
    return url;
  }

  async finish(trip: LoginTrip & { params: URLSearchParams }): Promise<FinishedLogin> {
    const token = await this.#exchange(trip);
    const user = parse(userSchema, await this.#get("/user", token), "/user");
    const memberships = trip.needsMembership ? await this.recheck(token) : { organisations: [], teams: [] };
    const email = await this.#primaryEmail(token);
    const identity: Identity = {
      uid: `github:${user.id}`,
      login: user.login,
      email,
      emailVerified: email !== null,
      ...memberships,
    };
    return { identity, membershipToken: trip.needsMembership ? token : undefined };
  }

  async recheck(membershipToken: string): Promise<Memberships> {
    const organisations = await this.#list("/user/orgs", membershipToken, organisationSchema);
    const teams = await this.#list("/user/teams", membershipToken, teamSchema);
    return {
      organisations: organisations.map(({ login }) => login),
      teams: teams.map(({ organization, slug }) => `${organization.login}/${slug}`),
    };
  }

  /** The token endpoint says most errors with status 200. */
  async #exchange({
    params,
    redirectUri,
    codeVerifier,
  }: LoginTrip & { params: URLSearchParams }): Promise<string> {
    const code = params.get("code");
    if (code === null) throw new IdentityProviderError("refused", "the callback has no code");
    const { status, json } = await this.#http.request(`${this.#place.url}/login/oauth/access_token`, {
      method: "POST",
      headers: { accept: "application/json" },
      body: new URLSearchParams({
        client_id: this.#app.clientId,
        client_secret: this.#app.clientSecret,
        code,
        redirect_uri: redirectUri,
        code_verifier: codeVerifier,
      }),
    });
    const token = tokenSchema.safeParse(json);
    if (status === 200 && token.success) return token.data.access_token;
    if (status === 429) throw new IdentityProviderError("unavailable", "access_token: too many requests");
    const { data } = errorSchema.safeParse(json);
    const word = data !== undefined && KNOWN_ERROR.test(data.error) ? data.error : `status ${status}`;
    const kind = OPERATOR_ERRORS.has(word) || status === 404 ? "misconfigured" : "refused";
    throw new IdentityProviderError(kind, `access_token: ${word}`);
  }

  /** Only GitHub's own list says which address is verified; who is not allowed to see it learns no address. */
  async #primaryEmail(token: string): Promise<string | null> {
    const { status, json } = await this.#call("/user/emails", token);
    const emails = emailsSchema.safeParse(json);
    if (status !== 200 || !emails.success) return null;
    return emails.data.find(({ primary, verified }) => primary && verified)?.email ?? null;
  }

  /** Follows pages by number rather than by the `Link` header: no URL in an answer is ever called with the token. */
  async #list<Item>(path: string, token: string, schema: z.ZodType<Item>): Promise<Item[]> {
    const items: Item[] = [];
    for (let page = 1; page <= MAX_PAGES; page += 1) {
      const json = await this.#get(`${path}?per_page=${PAGE_SIZE}&page=${page}`, token);
      const found = parse(z.array(schema), json, path);
      items.push(...found);
      if (found.length < PAGE_SIZE) break;
    }
    return items;
  }

  /** An answer of 200, or an error: 401 and 403 mean that the token is no longer good for it. */
  async #get(path: string, token: string): Promise<unknown> {
    const { status, json } = await this.#call(path, token);
    if (status === 200) return json;
    throw new IdentityProviderError("refused", `${path.split("?", 1)[0]}: status ${status}`);
  }

  async #call(path: string, token: string): Promise<ProviderAnswer> {
    const answer = await this.#http.request(`${this.#place.apiUrl}${path}`, {
      headers: {
        accept: "application/vnd.github+json",
        authorization: `Bearer ${token}`,
        "x-github-api-version": "2022-11-28",
        // GitHub answers 403 to requests without one.
        "user-agent": "gatehouse",
      },
    });
    if (isRateLimited(answer)) throw new IdentityProviderError("unavailable", "the rate limit is used up");
    return answer;
  }
}

/** Both limits of GitHub come as 403 or 429; what tells them from a refusal are the headers. */
function isRateLimited({ status, headers }: ProviderAnswer): boolean {
  if (status === 429) return true;
  return status === 403 && (headers.has("retry-after") || headers.get("x-ratelimit-remaining") === "0");
}

function parse<Value>(schema: z.ZodType<Value>, json: unknown, path: string): Value {
  const parsed = schema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new IdentityProviderError("unavailable", `${path}: the answer does not have its documented form`);
}
