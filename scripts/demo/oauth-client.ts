import { createHash, randomBytes } from "node:crypto";
import type { FetchLike } from "@modelcontextprotocol/client";
import { initializeMessage } from "./initialize.ts";
import { jsonAnswer, textOf, textsOf, type JsonObject } from "./json-answer.ts";

/** What an authorization server says about itself (RFC 8414 section 2), as far as a client needs it. */
export interface ServerMetadata {
  readonly issuer: string;
  readonly registration_endpoint: string;
  readonly authorization_endpoint: string;
  readonly token_endpoint: string;
}

/** What a peer without a token found out about the resource it called. */
export interface Discovery {
  /** The challenge it was answered with. */
  readonly challenge: string;
  readonly resourceMetadataUrl: string;
  readonly server: ServerMetadata;
}

/** One authorization that is under way. */
export interface AuthorizationRequest {
  /** Where the person's browser has to go. */
  readonly url: URL;
  readonly state: string;
  readonly codeVerifier: string;
  readonly redirectUri: string;
}

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Seconds. */
  readonly expiresIn: number;
  /** What stands in the access token; it is the resource that verifies it. */
  readonly claims: { readonly sub: string; readonly scope: string; readonly aud: readonly string[] };
}

/** Calls an MCP endpoint without a token and follows what the answer says (RFC 9728 section 5). @throws when it leads nowhere */
export async function discover(fetch: FetchLike, endpoint: URL): Promise<Discovery> {
  const refused = await fetch(endpoint, {
    method: "POST",
    headers: { "content-type": "application/json", accept: "application/json, text/event-stream" },
    body: initializeMessage("Claude"),
  });
  await refused.body?.cancel();
  const challenge = refused.headers.get("www-authenticate") ?? "";
  const [, resourceMetadataUrl] = /\bresource_metadata="([^"]+)"/.exec(challenge) ?? [];
  if (refused.status !== 401 || resourceMetadataUrl === undefined)
    throw new Error(`${endpoint.href}: ${refused.status} with the challenge ${JSON.stringify(challenge)}`);
  const resource = await jsonAnswer(await fetch(resourceMetadataUrl), 200);
  const [issuer = ""] = textsOf(resource, "authorization_servers");
  return { challenge, resourceMetadataUrl, server: await serverMetadata(fetch, issuer) };
}

async function serverMetadata(fetch: FetchLike, issuer: string): Promise<ServerMetadata> {
  const document = await jsonAnswer(await fetch(`${issuer}/.well-known/oauth-authorization-server`), 200);
  if (document["issuer"] !== issuer) throw new Error(`${issuer} calls itself ${String(document["issuer"])}`);
  if (!textsOf(document, "code_challenge_methods_supported").includes("S256"))
    throw new Error(`${issuer} does not offer PKCE`);
  return {
    issuer,
    registration_endpoint: textOf(document, "registration_endpoint"),
    authorization_endpoint: textOf(document, "authorization_endpoint"),
    token_endpoint: textOf(document, "token_endpoint"),
  };
}

/** A registered client that sends its secret in the body, as Claude does. */
export class OAuthClient {
  readonly #fetch: FetchLike;
  readonly #server: ServerMetadata;
  readonly #registration: JsonObject;

  private constructor(fetch: FetchLike, server: ServerMetadata, registration: JsonObject) {
    this.#fetch = fetch;
    this.#server = server;
    this.#registration = registration;
  }

  /** Registers with that metadata (RFC 7591). @throws when it is not taken */
  static async register(fetch: FetchLike, server: ServerMetadata, metadata: object): Promise<OAuthClient> {
    const response = await fetch(server.registration_endpoint, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(metadata),
    });
    return new OAuthClient(fetch, server, await jsonAnswer(response, 201));
  }

  get id(): string {
    return textOf(this.#registration, "client_id");
  }

  get registrationUrl(): string {
    return textOf(this.#registration, "registration_client_uri");
  }

  /** Begins an authorization for a resource, with PKCE and a fresh `state`. */
  authorize(resource: string, scope: string): AuthorizationRequest {
    const [redirectUri = ""] = textsOf(this.#registration, "redirect_uris");
    const [state, codeVerifier] = [randomBytes(16), randomBytes(32)].map((octets) =>
      octets.toString("base64url"),
    ) as [string, string];
    const url = new URL(this.#server.authorization_endpoint);
    url.search = new URLSearchParams({
      response_type: "code",
      client_id: this.id,
      redirect_uri: redirectUri,
      code_challenge: createHash("sha256").update(codeVerifier).digest("base64url"),
      code_challenge_method: "S256",
      state,
      scope,
      resource,
    }).toString();
    return { url, state, codeVerifier, redirectUri };
  }

  /** Redeems the code that the browser came back with. @throws when what came back is not the answer to that request */
  async redeem(request: AuthorizationRequest, back: URL): Promise<Tokens> {
    const { searchParams: answer } = back;
    const error = answer.get("error");
    if (error !== null) throw new Error(`${error}: ${answer.get("error_description") ?? ""}`);
    if (!back.href.startsWith(request.redirectUri)) throw new Error(`the browser stopped at ${back.origin}`);
    if (answer.get("state") !== request.state) throw new Error("the state came back changed");
    // RFC 9207: a code of another server is not ours to redeem here.
    if (answer.get("iss") !== this.#server.issuer) throw new Error("the code is another server's");
    return await this.#token({
      grant_type: "authorization_code",
      code: answer.get("code") ?? "",
      redirect_uri: request.redirectUri,
      code_verifier: request.codeVerifier,
    });
  }

  async refresh({ refreshToken }: Tokens): Promise<Tokens> {
    return await this.#token({ grant_type: "refresh_token", refresh_token: refreshToken });
  }

  async #token(grant: Readonly<Record<string, string>>): Promise<Tokens> {
    const secret = this.#registration["client_secret"];
    const form = new URLSearchParams({ ...grant, client_id: this.id });
    if (typeof secret === "string") form.set("client_secret", secret);
    const response = await this.#fetch(this.#server.token_endpoint, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
    });
    const answer = await jsonAnswer(response, 200);
    const accessToken = textOf(answer, "access_token");
    const claims = JSON.parse(
      Buffer.from(accessToken.split(".")[1] ?? "", "base64url").toString(),
    ) as JsonObject;
    return {
      accessToken,
      refreshToken: textOf(answer, "refresh_token"),
      expiresIn: Number(answer["expires_in"]),
      claims: { sub: textOf(claims, "sub"), scope: textOf(claims, "scope"), aud: textsOf(claims, "aud") },
    };
  }
}
