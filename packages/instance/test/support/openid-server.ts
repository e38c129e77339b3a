import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, generateKeyPair, SignJWT, type JWK, type JWTPayload } from "jose";
import { Agent, fetch as undiciFetch } from "undici";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";

/** What the provider says about the one person it knows, and how it can be made to lie. */
export interface OpenIdBehaviour {
  subject: string;
  /** Claims in the id_token besides the protocol's own. */
  claims: Record<string, unknown>;
  /** The userinfo answer; undefined: there is no such endpoint. */
  userinfo: Record<string, unknown> | undefined;
  authMethods: readonly string[] | undefined;
  /** Changes the discovery document. */
  discovery: Record<string, unknown>;
  /** Changes the id_token's claims just before it is signed. */
  forge: (claims: JWTPayload) => JWTPayload;
  /** Replaces the id_token. */
  token: ((signed: string) => string | Promise<string>) | undefined;
  /** Added to the redirect to the callback. */
  callback: Record<string, string>;
  tokenError: string | undefined;
}

const HONEST: OpenIdBehaviour = {
  subject: "a-1",
  claims: { email: "ann@example.com", email_verified: true, preferred_username: "admin" },
  userinfo: undefined,
  authMethods: undefined,
  discovery: {},
  forge: (claims) => claims,
  token: undefined,
  callback: {},
  tokenError: undefined,
};

/** A small OpenID provider over TLS that logs in one person at once, and checks what a client sends. */
export class OpenIdServer {
  readonly clientId = "gatehouse-client";
  /** With characters that must be encoded before they go into Basic credentials. */
  readonly clientSecret = "s:cret+/ %";
  behaviour: OpenIdBehaviour = { ...HONEST };
  /** How the token endpoint was authenticated at, and queries of the authorization endpoint. */
  readonly seen: { authMethod: string; query: URLSearchParams }[] = [];
  readonly fetch: typeof globalThis.fetch;
  readonly keys: Awaited<ReturnType<typeof generateKeyPair>>;
  readonly #server: Server;
  readonly #agent: Agent;
  readonly #jwk: JWK;
  readonly #codes = new Map<string, URLSearchParams>();

  private constructor(parts: {
    server: Server;
    agent: Agent;
    keys: Awaited<ReturnType<typeof generateKeyPair>>;
    jwk: JWK;
  }) {
    this.#server = parts.server;
    this.#agent = parts.agent;
    this.keys = parts.keys;
    this.#jwk = parts.jwk;
    // The two fetches differ in their types only.
    this.fetch = (async (url: string | URL, init: object) =>
      await undiciFetch(url, { ...init, dispatcher: this.#agent })) as unknown as typeof globalThis.fetch;
  }

  static async start(): Promise<OpenIdServer> {
    const directory = await mkdtemp(join(tmpdir(), "openid-"));
    const authority = await createCertificateAuthority(directory);
    const { certPem, keyPem } = await authority.issue(["localhost"]);
    await rm(directory, { recursive: true });
    const keys = await generateKeyPair("RS256");
    const server = createServer({ cert: certPem, key: keyPem });
    const agent = new Agent({ connect: { ca: authority.caPem } });
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: "k1", use: "sig" };
    const provider = new OpenIdServer({ server, agent, keys, jwk });
    server.on("request", (request, response) => void provider.#answer(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return provider;
  }

  get issuer(): string {
    return `https://localhost:${(this.#server.address() as AddressInfo).port}`;
  }

  behave(behaviour: Partial<OpenIdBehaviour> = {}): void {
    this.behaviour = { ...HONEST, ...behaviour };
  }

  async stop(): Promise<void> {
    await this.#agent.close();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Does what a browser does between consent and callback; returns where it is sent back to. */
  async pass(location: URL): Promise<URL> {
    const response = await undiciFetch(location, { dispatcher: this.#agent, redirect: "manual" });
    return new URL(response.headers.get("location") ?? "");
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", this.issuer);
    const json = (status: number, value: object): void => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    const { behaviour } = this;
    if (url.pathname === "/.well-known/openid-configuration") json(200, this.#discovery());
    else if (url.pathname === "/jwks") json(200, { keys: [this.#jwk] });
    else if (url.pathname === "/authorize") this.#authorize(url, response);
    else if (url.pathname === "/userinfo") json(200, behaviour.userinfo ?? {});
    else if (url.pathname === "/token") {
      const answer = await this.#token(request);
      json("error" in answer ? 400 : 200, answer);
    } else json(404, {});
  }

  #discovery(): object {
    const { issuer, behaviour } = this;
    return {
      issuer,
      authorization_endpoint: `${issuer}/authorize?tenant=7`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      ...(behaviour.userinfo === undefined ? {} : { userinfo_endpoint: `${issuer}/userinfo` }),
      ...(behaviour.authMethods === undefined
        ? {}
        : { token_endpoint_auth_methods_supported: behaviour.authMethods }),
      ...behaviour.discovery,
    };
  }

  #authorize(url: URL, response: ServerResponse): void {
    const code = randomBytes(16).toString("hex");
    this.#codes.set(code, url.searchParams);
    const back = new URL(url.searchParams.get("redirect_uri") ?? "");
    const state = url.searchParams.get("state") ?? "";
    back.search = new URLSearchParams({ code, state, ...this.behaviour.callback }).toString();
    response.writeHead(302, { location: back.href }).end();
  }

  async #token(request: IncomingMessage): Promise<object> {
    let text = "";
    for await (const chunk of request) text += String(chunk);
    const form = new URLSearchParams(text);
    const code = form.get("code") ?? "";
    const query = this.#codes.get(code);
    this.#codes.delete(code);
    if (query === undefined) return { error: "invalid_grant" };
    const authMethod = this.#authMethod(request, form);
    this.seen.push({ authMethod, query });
    if (authMethod === "none") return { error: "invalid_client" };
    const challenge = createHash("sha256")
      .update(form.get("code_verifier") ?? "")
      .digest("base64url");
    if (challenge !== query.get("code_challenge") || form.get("redirect_uri") !== query.get("redirect_uri"))
      return { error: "invalid_grant" };
    if (this.behaviour.tokenError !== undefined) return { error: this.behaviour.tokenError };
    const now = Math.floor(Date.now() / 1000);
    const claims = this.behaviour.forge({
      iss: this.issuer,
      aud: this.clientId,
      sub: this.behaviour.subject,
      nonce: query.get("nonce") ?? "",
      iat: now,
      exp: now + 300,
      ...this.behaviour.claims,
    });
    const signed = await new SignJWT(claims)
      .setProtectedHeader({ alg: "RS256", kid: "k1" })
      .sign(this.keys.privateKey);
    const id_token = this.behaviour.token === undefined ? signed : await this.behaviour.token(signed);
    return { access_token: "at", token_type: "Bearer", id_token };
  }

  #authMethod({ headers }: IncomingMessage, form: URLSearchParams): string {
    const { clientId, clientSecret } = this;
    const encode = (part: string): string => new URLSearchParams({ "": part }).toString().slice(1);
    const basic = Buffer.from(`${encode(clientId)}:${encode(clientSecret)}`).toString("base64");
    if (headers.authorization === `Basic ${basic}`) return "client_secret_basic";
    return form.get("client_id") === clientId && form.get("client_secret") === clientSecret
      ? "client_secret_post"
      : "none";
  }
}
