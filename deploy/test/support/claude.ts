import { createHash, randomBytes } from "node:crypto";
import type { Page } from "@gatehouse/testbed/scripted-browser";

/** What the log shows Claude to register, member for member. */
export const CLAUDE_REGISTRATION = {
  client_name: "Claude",
  redirect_uris: ["https://claude.ai/api/mcp/auth_callback"],
  grant_types: ["authorization_code", "refresh_token"],
  response_types: ["code"],
  token_endpoint_auth_method: "client_secret_post",
  scope: "openid profile email",
} as const;

const [REDIRECT_URI] = CLAUDE_REGISTRATION.redirect_uris;

export interface TokenAnswer {
  readonly status: number;
  readonly access_token: string;
  readonly refresh_token: string;
  readonly scope: string;
  readonly expires_in: number;
  readonly token_type: string;
  readonly error?: string;
}

/** Claude's side of a connection, request by request as in the log; it knows a host's URL and nothing else. */
export class Claude {
  readonly #fetch: typeof globalThis.fetch;
  readonly #origin: string;
  /** What `/register` answered. */
  client: Record<string, unknown> = {};
  /** Where the browser ended, with the code. */
  callback: URL | undefined;

  constructor(fetch: typeof globalThis.fetch, origin: string) {
    this.#fetch = fetch;
    this.#origin = origin;
  }

  async register(): Promise<Response> {
    const response = await this.#fetch(`${this.#origin}/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(CLAUDE_REGISTRATION),
    });
    this.client = (await response.clone().json()) as Record<string, unknown>;
    return response;
  }

  /** Sends a person's browser through the login and redeems what it comes back with. */
  async authorize(
    logIn: (url: URL) => Promise<Page>,
    resource = `${this.#origin}/mcp`,
  ): Promise<TokenAnswer> {
    const verifier = randomBytes(32).toString("base64url");
    const url = new URL("/authorize", this.#origin);
    const parameters = {
      response_type: "code",
      client_id: String(this.client["client_id"]),
      redirect_uri: REDIRECT_URI,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      state: randomBytes(16).toString("base64url"),
      scope: CLAUDE_REGISTRATION.scope,
      resource,
    };
    for (const [name, value] of Object.entries(parameters)) url.searchParams.set(name, value);
    const page = await logIn(url);
    if (page.status !== 0) throw new Error(`the browser stopped at ${page.url.href}: ${page.text}`);
    this.callback = page.url;
    const { searchParams } = page.url;
    if (searchParams.get("state") !== parameters.state) throw new Error("not the state that was sent");
    return await this.#token({
      grant_type: "authorization_code",
      code: searchParams.get("code") ?? "",
      redirect_uri: REDIRECT_URI,
      code_verifier: verifier,
      resource,
    });
  }

  async refresh(refreshToken: string): Promise<TokenAnswer> {
    return await this.#token({ grant_type: "refresh_token", refresh_token: refreshToken });
  }

  async revoke(token: string): Promise<number> {
    const response = await this.#post("/revoke", { token });
    return response.status;
  }

  async #token(form: Record<string, string>): Promise<TokenAnswer> {
    const response = await this.#post("/token", form);
    return { status: response.status, ...((await response.json()) as Omit<TokenAnswer, "status">) };
  }

  /** The secret goes in the body. */
  async #post(path: string, form: Record<string, string>): Promise<Response> {
    const { client_id, client_secret } = this.client;
    const credentials = { client_id: String(client_id), client_secret: String(client_secret) };
    return await this.#fetch(this.#origin + path, {
      method: "POST",
      body: new URLSearchParams({ ...form, ...credentials }),
    });
  }
}
