import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { AddressInfo } from "node:net";
import { getRequestListener } from "@hono/node-server";
import { Hono } from "hono";
import { parseHostConfig, type HostConfig } from "@gatehouse/shared/host-config";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import type { LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import { newConnectionId, newRequestId } from "@gatehouse/shared/record-id";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import type { App } from "../../src/app.ts";
import {
  AuthorizationServer,
  type AuthorizationServerOptions,
} from "../../src/authorization-server/authorization-server.ts";
import type {
  Login,
  PendingLogin,
  PendingLogins,
  Reassessment,
} from "../../src/authorization-server/pending-login.ts";
import type { GrantedIdentity, Identity } from "../../src/oauth/identity.ts";

export function hostname(text: string): Hostname {
  const parsed = parseHostname(text);
  if (!parsed.ok) throw new TypeError(text);
  return parsed.hostname;
}

/** A request of a test says with it from which address it shall seem to come. */
export const PEER_FIELD = "test-peer";

export const OCTOCAT: Identity = {
  uid: "github:583231",
  login: "octocat",
  email: "octocat@github.com",
  emailVerified: true,
  organisations: [],
  teams: [],
};

/** Logs everyone in at once as one person; what it was shown and asked is kept. */
export class InstantLogin implements Login {
  identity: Identity = OCTOCAT;
  scopes: readonly string[] = ["admin", "user", "mcp"];
  /** What is left at a refresh; undefined for nobody. */
  left: readonly string[] | undefined = ["admin", "user", "mcp"];
  refusal: string | undefined;
  membershipToken: string | undefined;
  seen: PendingLogin | undefined;
  reassessed: GrantedIdentity | undefined;

  routes(app: App, pending: PendingLogins): void {
    app.get("/interaction/:uid", async (c) => {
      const uid = c.req.param("uid");
      this.seen = await pending.find(uid, c.req.header("cookie"));
      if (this.seen === undefined) return c.text("not yours", 403);
      const location =
        this.refusal === undefined
          ? await pending.finish(uid, {
              identity: this.identity,
              scopes: this.scopes,
              membershipToken: this.membershipToken,
            })
          : await pending.refuse(uid, { error: "access_denied", description: this.refusal });
      return c.redirect(location, 303);
    });
  }

  async reassess(granted: GrantedIdentity): Promise<Reassessment | undefined> {
    this.reassessed = granted;
    if (this.left === undefined) return undefined;
    return { identity: granted.identity, checkedAt: granted.checkedAt, scopes: this.left };
  }

  errorPage(problem: { status: number; error: string; description: string }): Response {
    return new Response(`page: ${problem.error}: ${problem.description}`, { status: problem.status });
  }
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The JSON body; an empty object when there is none. */
  readonly json: Record<string, any>; // oxlint-disable-line typescript/no-explicit-any -- bodies of answers under test
}

export interface HarnessOptions {
  readonly config?: Record<string, unknown>;
  readonly name?: string;
  readonly redis?: PrivateRedis;
  readonly secret?: string;
  readonly options?: Partial<AuthorizationServerOptions>;
}

/** One host's authorization server behind a real HTTP server, as the instance's app mounts it, with a real Redis. */
export class Harness {
  readonly origin: string;
  readonly hostname: Hostname;
  readonly login: InstantLogin;
  readonly records: LogRecord[];
  readonly redis: RedisClient;
  readonly store: PrivateRedis;
  readonly secret: string;
  readonly server: AuthorizationServer;
  config: HostConfig;
  /** What answers requests, for servers of another protocol. */
  readonly listener: Listener;
  readonly #http: Server;
  readonly #ownsStore: boolean;

  private constructor(parts: {
    origin: string;
    hostname: Hostname;
    login: InstantLogin;
    records: LogRecord[];
    redis: RedisClient;
    store: PrivateRedis;
    secret: string;
    server: AuthorizationServer;
    http: Server;
    listener: Listener;
    ownsStore: boolean;
    holder: { harness?: Harness; config: HostConfig };
  }) {
    this.origin = parts.origin;
    this.hostname = parts.hostname;
    this.login = parts.login;
    this.records = parts.records;
    this.redis = parts.redis;
    this.store = parts.store;
    this.secret = parts.secret;
    this.server = parts.server;
    this.config = parts.holder.config;
    this.#http = parts.http;
    this.listener = parts.listener;
    this.#ownsStore = parts.ownsStore;
    parts.holder.harness = this;
  }

  static async start(options: HarnessOptions = {}): Promise<Harness> {
    const store = options.redis ?? (await startPrivateRedis());
    const redis = openRedis({ url: store.url, clientName: "test" });
    await once(redis, "ready");
    const name = hostname(options.name ?? "simple-oauth.example.com");
    const origin = `https://${name}`;
    const secret = options.secret ?? newSecretKey();
    const login = new InstantLogin();
    const records: LogRecord[] = [];
    const log: RecordLog = { write: (record) => void records.push(record), isEnabled: () => true };
    const holder: { harness?: Harness; config: HostConfig } = { config: hostConfig(options.config) };
    const current = (): HostConfig => holder.harness?.config ?? holder.config;
    const sealing = SealingKeys.parse(secret, []);
    if (sealing === undefined) throw new TypeError("bad secret");
    const server = await AuthorizationServer.open({
      hostname: name,
      origin,
      hostConfig: current,
      redis,
      sealing,
      log,
      login,
      ...options.options,
    });
    const listener = listenerFor(server, current);
    const http = createServer(listener);
    http.listen(0, "127.0.0.1");
    await once(http, "listening");
    return new Harness({
      origin,
      hostname: name,
      login,
      records,
      redis,
      store,
      secret,
      server,
      http,
      listener,
      holder,
      ownsStore: options.redis === undefined,
    });
  }

  configure(config: Record<string, unknown>): void {
    this.config = hostConfig(config);
  }

  async stop(): Promise<void> {
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, "close");
    await this.server.close();
    await closeRedis(this.redis);
    if (this.#ownsStore) await this.store.stop();
  }

  async request(
    path: string,
    init: { method?: string; headers?: Record<string, string>; body?: string } = {},
  ): Promise<Answer> {
    const { port } = this.#http.address() as AddressInfo;
    const headers = { host: new URL(this.origin).host, ...init.headers };
    const outgoing = httpRequest({ host: "127.0.0.1", port, path, method: init.method ?? "GET", headers });
    outgoing.end(init.body);
    const [response] = (await once(outgoing, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    let json = {};
    if (/json/.test(response.headers["content-type"] ?? "")) json = JSON.parse(text) as object;
    return { status: response.statusCode ?? 0, headers: response.headers, text, json };
  }

  async post(path: string, form: Record<string, string> | URLSearchParams, headers = {}): Promise<Answer> {
    return await this.request(path, {
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded", ...headers },
      body: new URLSearchParams(form).toString(),
    });
  }

  async register(body: Record<string, unknown>): Promise<Answer> {
    return await this.request("/register", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  }

  /** Follows the browser from `/authorize` to the client: returns the parameters it comes back with, or the page it stops at. */
  async authorize(parameters: Record<string, string> | URLSearchParams): Promise<BrowserEnd> {
    return await new Browser(this).open(`/authorize?${new URLSearchParams(parameters).toString()}`);
  }

  /** Registers a public client (unless one is given), authorizes, and returns what a token request needs. */
  async code(options: { client?: Answer; parameters?: Record<string, string> } = {}): Promise<CodeFlow> {
    const client = options.client ?? (await this.register(PUBLIC_CLIENT));
    const verifier = randomBytes(32).toString("base64url");
    const redirectUri = client.json["redirect_uris"][0];
    const end = await this.authorize({
      response_type: "code",
      client_id: client.json["client_id"],
      redirect_uri: redirectUri,
      code_challenge: createHash("sha256").update(verifier).digest("base64url"),
      code_challenge_method: "S256",
      state: "st-1",
      ...options.parameters,
    });
    return {
      client,
      end,
      form: {
        grant_type: "authorization_code",
        code: end.params.get("code") ?? "",
        redirect_uri: redirectUri,
        client_id: client.json["client_id"],
        code_verifier: verifier,
        ...(client.json["client_secret"] === undefined
          ? {}
          : { client_secret: client.json["client_secret"] }),
      },
    };
  }

  /** A whole flow: returns the token answer, and the form of its refresh. */
  async tokens(options: { client?: Answer; parameters?: Record<string, string> } = {}): Promise<TokenFlow> {
    const flow = await this.code(options);
    const answer = await this.post("/token", flow.form);
    const { client_id, client_secret } = flow.form;
    return { ...flow, answer, refresh: (token: string) => refreshForm({ client_id, client_secret }, token) };
  }
}

export const PUBLIC_CLIENT = {
  client_name: "Test",
  redirect_uris: ["https://client.example/callback"],
  token_endpoint_auth_method: "none",
};

export interface CodeFlow {
  readonly client: Answer;
  readonly end: BrowserEnd;
  readonly form: Record<string, string>;
}

export interface TokenFlow extends CodeFlow {
  readonly answer: Answer;
  readonly refresh: (token: string) => Record<string, string>;
}

function refreshForm(
  { client_id, client_secret }: { client_id: string | undefined; client_secret: string | undefined },
  token: string,
): Record<string, string> {
  return {
    grant_type: "refresh_token",
    refresh_token: token,
    client_id: client_id ?? "",
    ...(client_secret === undefined ? {} : { client_secret }),
  };
}

export interface BrowserEnd {
  /** The last answer: a page, or the redirect that left this host. */
  readonly answer: Answer;
  /** Where the browser was sent away to; undefined when it stopped here. */
  readonly location: URL | undefined;
  readonly params: URLSearchParams;
}

/** Follows redirects on one host and keeps its cookies by path, as a browser does. */
export class Browser {
  readonly #harness: Harness;
  readonly cookies: { name: string; value: string; path: string }[] = [];

  constructor(harness: Harness) {
    this.#harness = harness;
  }

  async open(start: string): Promise<BrowserEnd> {
    let path = start;
    for (let hop = 0; hop < 10; hop += 1) {
      const answer = await this.get(path);
      const { location } = answer.headers;
      if (location === undefined) return { answer, location: undefined, params: new URLSearchParams() };
      const url = new URL(location, this.#harness.origin);
      if (url.origin !== this.#harness.origin) return { answer, location: url, params: url.searchParams };
      path = url.pathname + url.search;
    }
    throw new Error("redirected for ever");
  }

  async get(path: string): Promise<Answer> {
    const pathname = path.split("?")[0] ?? "";
    const cookie = this.cookies
      .filter((one) => pathname === one.path || pathname.startsWith(one.path === "/" ? "/" : `${one.path}/`))
      .map((one) => `${one.name}=${one.value}`)
      .join("; ");
    const answer = await this.#harness.request(path, { headers: cookie === "" ? {} : { cookie } });
    for (const line of answer.headers["set-cookie"] ?? []) this.#keep(line);
    return answer;
  }

  #keep(line: string): void {
    const [pair = "", ...attributes] = line.split("; ");
    const [name = "", value = ""] = pair.split("=");
    const path = attributes.find((attribute) => /^path=/i.test(attribute))?.slice(5) ?? "/";
    const index = this.cookies.findIndex((one) => one.name === name && one.path === path);
    if (index !== -1) this.cookies.splice(index, 1);
    if (value !== "" && !/expires=Thu, 01 Jan 1970/i.test(line)) this.cookies.push({ name, value, path });
  }
}

function hostConfig(fields: Record<string, unknown> = {}): HostConfig {
  const document = {
    target_url: "http://127.0.0.1:9",
    auth_enabled: true,
    auth_required_users: ["*"],
    ...fields,
  };
  const parsed = parseHostConfig(JSON.stringify(document));
  if (!parsed.ok) throw new TypeError(JSON.stringify(parsed.problems));
  return parsed.config;
}

type Listener = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
) => void;

function listenerFor(server: AuthorizationServer, config: () => HostConfig): Listener {
  const app: App = new Hono();
  server.routes(app);
  app.all("*", (c) => c.text("upstream", 418));
  const listener = getRequestListener(
    async (request, { incoming, outgoing }) => {
      const context = {
        id: newRequestId(),
        connection: {
          id: newConnectionId(),
          addresses: {
            source: { ip: request.headers.get(PEER_FIELD) ?? "34.162.102.82", port: 4711 },
            destination: { ip: "192.0.2.1", port: 443 },
          },
        },
        startedAt: performance.now(),
        hostConfig: config(),
        host: request.headers.get("host") ?? "",
      };
      return await app.fetch(request, { incoming, outgoing, context });
    },
    { overrideGlobalObjects: false, autoCleanupIncoming: false },
  );
  return (request, response) => void listener(request, response);
}
