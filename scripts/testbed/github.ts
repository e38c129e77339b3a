import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { HUBOT, OCTOCAT, type GitHubAccount } from "./github-accounts.ts";
import { answerApi, sendError, sendJson, type IssuedToken } from "./github-api.ts";
import { messagePage, signInPage } from "./github-pages.ts";

/** An OAuth app that the stand-in knows. */
export interface GitHubApp {
  readonly clientId: string;
  readonly clientSecret: string;
  /** Callback URLs; as at GitHub a redirect URI may lead below one, and without one the first is used. */
  readonly callbackUrls: readonly string[];
}

/**
 * What goes wrong for everyone: `down` cuts every connection, `slow` never answers, `broken` answers 502 with a page, `rate_limited`
 * answers 403 as the API does when the hour's requests are used up. Pages go on with `slow` and `rate_limited`, tokens with the latter.
 */
export type GitHubFailure = "down" | "slow" | "broken" | "rate_limited";

/** A stand-in for GitHub: both its pages and its API, below one URL. */
export interface StandInGitHub {
  /** `http://127.0.0.1:PORT`, for `GITHUB_URL` and `GITHUB_API_URL` alike. */
  readonly url: string;
  /** The first of its apps. */
  readonly app: GitHubApp;
  /** Path and query of every request so far. */
  readonly requests: readonly string[];
  /** Address that signs a browser in as that account, as somebody who used GitHub earlier would be. */
  signInUrl(login: string): string;
  /** Replaces an account, by its id, or adds one. */
  setAccount(account: GitHubAccount): void;
  /** From now on, until called without a failure. */
  fail(failure?: GitHubFailure): void;
  /** Makes every token of the account worthless, as its owner can. */
  revokeTokens(login: string): void;
  close(): Promise<void>;
}

/** Ten minutes, as GitHub's codes last. */
const CODE_LIFE_MS = 600_000;
const SESSION_COOKIE = "user_session";
const MAX_BODY_BYTES = 65_536;

const DEFAULT_APP: GitHubApp = {
  clientId: "Iv1.standin",
  clientSecret: "stand-in-secret",
  callbackUrls: ["https://simple-oauth.localhost/callback"],
};

/** Starts the stand-in on a free loopback port. Its accounts are `octocat` and `hubot`, in that order. */
export async function startGitHub(
  options: {
    readonly apps?: readonly [GitHubApp, ...GitHubApp[]];
    /** Default: any free port. */
    readonly port?: number;
  } = {},
): Promise<StandInGitHub> {
  const { apps = [DEFAULT_APP], port = 0 } = options;
  const github = new GitHubServer(apps);
  await github.listen(port);
  return github;
}

/** What a code was given for. */
interface IssuedCode extends IssuedToken {
  readonly clientId: string;
  readonly redirectUri: string;
  readonly challenge: string | null;
  readonly until: number;
}

class GitHubServer implements StandInGitHub {
  readonly app: GitHubApp;
  readonly requests: string[] = [];
  readonly #apps: readonly GitHubApp[];
  readonly #accounts = new Map<number, GitHubAccount>();
  readonly #sessions = new Map<string, number>();
  readonly #codes = new Map<string, IssuedCode>();
  readonly #tokens = new Map<string, IssuedToken>();
  readonly #server: Server;
  #failure: GitHubFailure | undefined;

  constructor(apps: readonly [GitHubApp, ...GitHubApp[]]) {
    [this.app] = apps;
    this.#apps = apps;
    for (const account of [OCTOCAT, HUBOT]) this.setAccount(account);
    this.#server = createServer((request, response) => void this.#answer(request, response));
  }

  get url(): string {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the stand-in has no port");
    return `http://127.0.0.1:${address.port}`;
  }

  async listen(port: number): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  signInUrl(login: string): string {
    return `${this.url}/session?login=${encodeURIComponent(login)}`;
  }

  setAccount(account: GitHubAccount): void {
    this.#accounts.set(account.id, account);
  }

  fail(failure?: GitHubFailure): void {
    this.#failure = failure;
  }

  revokeTokens(login: string): void {
    for (const [token, { account }] of this.#tokens) {
      if (account.login === login) this.#tokens.delete(token);
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.url);
    this.requests.push(url.pathname + url.search);
    if (this.#failed(request, response, url.pathname)) return;
    try {
      if (url.pathname === "/session") await this.#session(request, response, url);
      else if (url.pathname === "/login/oauth/authorize") this.#authorize(request, response, url);
      else if (url.pathname === "/login/oauth/access_token") await this.#accessToken(request, response);
      else answerApi(request, response, (token) => this.#findToken(token));
    } catch (error) {
      messagePage(response, 400, String(error));
    }
  }

  /** True when the request has met with what is set to go wrong. */
  #failed(request: IncomingMessage, response: ServerResponse, path: string): boolean {
    const isPage = path === "/session" || path === "/login/oauth/authorize";
    switch (this.#failure) {
      case undefined:
        return false;
      case "down":
        request.socket.destroy();
        return true;
      case "broken":
        messagePage(response, 502, "This page is taking too long to load.");
        return true;
      case "slow":
        return !isPage;
      case "rate_limited":
        if (path.startsWith("/login/") || isPage) return false;
        response.setHeader("x-ratelimit-limit", "5000");
        response.setHeader("x-ratelimit-remaining", "0");
        response.setHeader("x-ratelimit-reset", String(Math.ceil(Date.now() / 1000) + 3600));
        sendError(response, 403, "API rate limit exceeded for user ID 583231.");
        return true;
    }
  }

  /** Signs in: by a link, or by the form of the sign-in page, which leads on to where it was asked. */
  async #session(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const form = request.method === "POST" ? await readForm(request) : url.searchParams;
    const account = [...this.#accounts.values()].find(({ login }) => login === form.get("login"));
    if (account === undefined) {
      messagePage(response, 404, "There is no account of this name.");
      return;
    }
    const session = randomBytes(24).toString("base64url");
    this.#sessions.set(session, account.id);
    response.setHeader("set-cookie", `${SESSION_COOKIE}=${session}; Path=/; HttpOnly; SameSite=Lax`);
    const next = form.get("return_to") ?? "";
    if (next.startsWith("/login/oauth/authorize?")) redirect(response, new URL(next, this.url));
    else messagePage(response, 200, `Signed in as ${account.login}.`);
  }

  #authorize(request: IncomingMessage, response: ServerResponse, url: URL): void {
    const query = url.searchParams;
    const app = this.#apps.find(({ clientId }) => clientId === query.get("client_id"));
    if (app === undefined) {
      messagePage(response, 404, "There is no such application.");
      return;
    }
    const [first = ""] = app.callbackUrls;
    const redirectUri = query.get("redirect_uri") ?? first;
    if (!app.callbackUrls.some((callback) => isBelow(redirectUri, callback))) {
      sendBack(
        response,
        { to: new URL(first), state: query.get("state") },
        {
          error: "redirect_uri_mismatch",
          error_description: "The redirect_uri MUST match the registered callback URL for this application.",
          error_uri: `${TROUBLESHOOTING}authorization-request-errors/#redirect-uri-mismatch`,
        },
      );
      return;
    }
    const account = this.#signedIn(request);
    if (account === undefined || query.get("prompt") === "select_account") {
      query.delete("prompt");
      signInPage(response, [...this.#accounts.values()], `${url.pathname}?${query.toString()}`);
      return;
    }
    const isS256 = query.get("code_challenge_method") === "S256";
    const code = randomBytes(10).toString("hex");
    this.#codes.set(code, {
      account,
      clientId: app.clientId,
      redirectUri,
      challenge: isS256 ? query.get("code_challenge") : null,
      scopes: (query.get("scope") ?? "").split(/[ ,]+/).filter((scope) => scope !== ""),
      until: Date.now() + CODE_LIFE_MS,
    });
    sendBack(response, { to: new URL(redirectUri), state: query.get("state") }, { code });
  }

  #signedIn(request: IncomingMessage): GitHubAccount | undefined {
    const cookies = (request.headers.cookie ?? "").split(/; */).map((cookie) => cookie.split("="));
    const session = cookies.find(([name]) => name === SESSION_COOKIE)?.[1] ?? "";
    const id = this.#sessions.get(session);
    return id === undefined ? undefined : this.#accounts.get(id);
  }

  /** Errors come with status 200, all but that of an application that does not exist. */
  async #accessToken(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const form = await readForm(request);
    const app = this.#apps.find(({ clientId }) => clientId === form.get("client_id"));
    if (app === undefined) {
      sendJson(response, 404, { error: "Not Found" });
      return;
    }
    const result = this.#redeem(app, form);
    const isJson = (request.headers.accept ?? "").includes("json");
    if (isJson) sendJson(response, 200, result);
    else {
      response.writeHead(200, { "content-type": "application/x-www-form-urlencoded; charset=utf-8" });
      response.end(new URLSearchParams(result).toString());
    }
  }

  #redeem(app: GitHubApp, form: URLSearchParams): Record<string, string> {
    if (form.get("client_secret") !== app.clientSecret) return TOKEN_ERRORS.credentials;
    const code = form.get("code") ?? "";
    const issued = this.#codes.get(code);
    if (issued?.clientId !== app.clientId || issued.until < Date.now()) return TOKEN_ERRORS.code;
    const redirectUri = form.get("redirect_uri");
    if (redirectUri !== null && redirectUri !== issued.redirectUri) return TOKEN_ERRORS.redirectUri;
    this.#codes.delete(code);
    const verifier = form.get("code_verifier") ?? "";
    const challenge = createHash("sha256").update(verifier).digest("base64url");
    if (issued.challenge !== null && issued.challenge !== challenge) return TOKEN_ERRORS.code;
    const token = `gho_${randomBytes(18).toString("hex")}`;
    this.#tokens.set(token, issued);
    return { access_token: token, token_type: "bearer", scope: [...issued.scopes].sort().join(",") };
  }

  /** An account may have changed since the token was issued. */
  #findToken(token: string): IssuedToken | undefined {
    const issued = this.#tokens.get(token);
    const account = issued && this.#accounts.get(issued.account.id);
    return account && { ...issued, account };
  }
}

const TROUBLESHOOTING = "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-";

const TOKEN_ERRORS = {
  credentials: {
    error: "incorrect_client_credentials",
    error_description: "The client_id and/or client_secret passed are incorrect.",
    error_uri: `${TROUBLESHOOTING}oauth-app-access-token-request-errors/#incorrect-client-credentials`,
  },
  redirectUri: {
    error: "redirect_uri_mismatch",
    error_description: "The redirect_uri MUST match the registered callback URL for this application.",
    error_uri: `${TROUBLESHOOTING}oauth-app-access-token-request-errors/#redirect-uri-mismatch2`,
  },
  code: {
    error: "bad_verification_code",
    error_description: "The code passed is incorrect or expired.",
    error_uri: `${TROUBLESHOOTING}oauth-app-access-token-request-errors/#bad-verification-code`,
  },
} as const;

/** GitHub's rule: the same host and port, and the path is the callback's or below it. */
function isBelow(redirectUri: string, callback: string): boolean {
  const [uri, base] = [URL.parse(redirectUri), URL.parse(callback)];
  if (uri === null || base === null || uri.origin !== base.origin) return false;
  return uri.pathname === base.pathname || uri.pathname.startsWith(base.pathname.replace(/\/?$/, "/"));
}

function sendBack(
  response: ServerResponse,
  { to, state }: { to: URL; state: string | null },
  answer: Readonly<Record<string, string>>,
): void {
  for (const [name, value] of Object.entries(answer)) to.searchParams.set(name, value);
  if (state !== null) to.searchParams.set("state", state);
  redirect(response, to);
}

function redirect(response: ServerResponse, to: URL): void {
  response.writeHead(302, { location: to.href }).end();
}

async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  let text = "";
  for await (const chunk of request) {
    text += String(chunk);
    if (text.length > MAX_BODY_BYTES) throw new Error("The form is too long.");
  }
  if (!(request.headers["content-type"] ?? "").includes("json")) return new URLSearchParams(text);
  const fields: unknown = JSON.parse(text);
  const form = new URLSearchParams();
  for (const [name, value] of Object.entries(fields ?? {})) form.set(name, String(value));
  return form;
}
