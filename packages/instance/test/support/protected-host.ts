import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import type { Duplex } from "node:stream";
import type { TLSSocket } from "node:tls";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { LogRecord, RecordLog } from "@gatehouse/shared/log-record";
import { newConnectionId, newRequestId } from "@gatehouse/shared/record-id";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Forwarder } from "../../src/forward.ts";
import { SigningKeyRing } from "../../src/oauth/signing-key.ts";
import {
  ProtectedResource,
  type ProtectedResourceOptions,
} from "../../src/protected-resource/protected-resource.ts";
import type { RequestContext } from "../../src/request-context.ts";
import { isWebSocketUpgrade } from "../../src/websocket.ts";
import { until } from "@gatehouse/testbed/until";
import { ask, H2Peer, hostConfig, portOf, startUpstream } from "../forward-harness.ts";
import { hostname } from "./authorization-server-harness.ts";
import { CLIENT, TokenMint, type Minted } from "./token-mint.ts";

export { CLIENT };

export const HOST = "app.example";
export const ORIGIN = `https://${HOST}`;
export const ENDPOINT = `${ORIGIN}/mcp`;
/** The path form, as challenges on the endpoint name it. */
export const METADATA_URL = `${ORIGIN}/.well-known/oauth-protected-resource/mcp`;

export interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

type Asked = Awaited<ReturnType<typeof ask>>;

/** One protected host on a real Redis, with the real forwarder and a real upstream, served over HTTP/1.1 and h2c. */
export class ProtectedHost {
  readonly records: LogRecord[] = [];
  readonly seen: Seen[] = [];
  /** Answers of the upstream by path; others get 200 and a word. */
  readonly answers = new Map<string, http.RequestListener>();
  readonly name = hostname(HOST);
  store!: PrivateRedis;
  redis!: RedisClient;
  keys!: SigningKeyRing;
  resource!: ProtectedResource;
  forwarder!: Forwarder;
  upstream!: Awaited<ReturnType<typeof startUpstream>>;
  h1Port = 0;
  h2!: H2Peer;
  config!: HostConfig;
  sealing!: SealingKeys;
  #mint!: TokenMint;
  readonly #servers: (http.Server | http2.Http2Server)[] = [];
  readonly #sessions = new Set<http2.ServerHttp2Session>();

  static async start(
    fields: Record<string, unknown> = {},
    options: Partial<ProtectedResourceOptions> = {},
  ): Promise<ProtectedHost> {
    const host = new ProtectedHost();
    host.store = await startPrivateRedis();
    host.redis = openRedis({ url: host.store.url, clientName: "test" });
    await once(host.redis, "ready");
    const sealing = SealingKeys.parse(newSecretKey(), []);
    if (sealing === undefined) throw new TypeError("bad secret");
    host.sealing = sealing;
    host.keys = await SigningKeyRing.open({ redis: host.redis, hostname: host.name, sealing });
    host.#mint = new TokenMint(host);
    await host.addClient(CLIENT);
    host.upstream = await startUpstream((request, response) => void host.#answer(request, response));
    const log: RecordLog = {
      write: (record) => void host.records.push(record),
      isEnabled: (level) => level !== "debug",
    };
    host.forwarder = new Forwarder({ hostname: host.name, log });
    host.resource = host.open(log, options);
    host.configure(fields);
    host.resource.start();
    await host.#serve();
    return host;
  }

  /** Another process for the same hostname, as far as the protected resource goes. */
  open(log: RecordLog, options: Partial<ProtectedResourceOptions> = {}): ProtectedResource {
    return new ProtectedResource({
      hostname: this.name,
      origin: ORIGIN,
      log,
      keys: this.keys,
      redisUrl: this.store.url,
      redis: this.redis,
      withdraw: (reason, of) => this.forwarder.withdraw(reason, of),
      ...options,
    });
  }

  configure(fields: Record<string, unknown> = {}): void {
    this.config = hostConfig(this.upstream.url, {
      auth_enabled: true,
      auth_required_users: ["*"],
      ...fields,
    });
    this.forwarder.configure(this.config);
    this.resource.configure(this.config);
  }

  async addClient(clientId: string): Promise<void> {
    await this.#mint.addClient(clientId);
  }

  /** Makes an access token as the authorization server does, record and identity included. */
  async mint(wanted: Minted = {}): Promise<string> {
    return await this.#mint.token(wanted);
  }

  async record(claims: Record<string, unknown>, wanted: Minted = {}): Promise<void> {
    await this.#mint.record(claims, wanted);
  }

  /** One request over HTTP/1.1; `token` goes into Authorization. */
  async ask(
    path: string,
    options: Omit<NonNullable<Parameters<typeof ask>[1]>, "path"> & { token?: string } = {},
  ): Promise<Asked & { text: string; json: Record<string, unknown> }> {
    const { token, headers, ...rest } = options;
    const answer = await ask(this.h1Port, {
      path,
      ...rest,
      headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
    });
    const text = answer.body.toString();
    const isJson = /json/.test(answer.headers["content-type"] ?? "") && text !== "";
    return { ...answer, text, json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {} };
  }

  /** POSTs a JSON-RPC message, or whatever text, to the endpoint. */
  async rpc(
    message: unknown,
    options: { token?: string; headers?: Record<string, string>; path?: string } = {},
  ): ReturnType<ProtectedHost["ask"]> {
    const { path = "/mcp", headers, ...rest } = options;
    return await this.ask(path, {
      method: "POST",
      body: typeof message === "string" ? message : JSON.stringify(message),
      headers: { "content-type": "application/json", ...headers },
      ...rest,
    });
  }

  /** The last record of a request. */
  async lastRecord(count: number): Promise<LogRecord> {
    const ended = (): LogRecord[] => this.records.filter(({ event }) => event === "request_ended");
    await until(() => ended().length >= count);
    return ended().at(count - 1) ?? ({} as LogRecord);
  }

  async stop(): Promise<void> {
    await this.forwarder.close();
    this.h2.close();
    for (const session of this.#sessions) session.destroy();
    for (const server of this.#servers) {
      if ("closeAllConnections" in server) server.closeAllConnections();
      server.close();
    }
    this.upstream.close();
    await this.resource.close();
    await closeRedis(this.redis);
    await this.store.stop();
  }

  #context(request: { headers: http.IncomingHttpHeaders }, socket: unknown): RequestContext {
    return {
      id: newRequestId(),
      startedAt: performance.now(),
      hostConfig: this.config,
      host: String(request.headers[":authority"] ?? request.headers.host ?? HOST),
      connection: {
        id: newConnectionId(),
        addresses: { source: { ip: "192.0.2.7", port: 4711 }, destination: { ip: "192.0.2.1", port: 443 } },
        socket: socket as TLSSocket,
      },
    };
  }

  async #serve(): Promise<void> {
    const serve = async (
      request: http.IncomingMessage | http2.Http2ServerRequest,
      response: http.ServerResponse | http2.Http2ServerResponse,
    ): Promise<void> => {
      const context = this.#context(request, request.socket);
      const admitted = await this.resource.authorize(request, response, context);
      if (admitted !== undefined) await this.forwarder.forward(request, response, admitted);
    };
    const upgrade = async (request: http.IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
      socket.on("error", () => undefined);
      const context = this.#context(request, socket);
      const admitted = await this.resource.authorizeUpgrade(request, socket, context);
      if (admitted !== undefined) this.forwarder.upgrade(request, socket, { head, context: admitted });
    };
    const h1 = http.createServer({ shouldUpgradeCallback: isWebSocketUpgrade }, (request, response) => {
      void serve(request, response);
    });
    h1.on("upgrade", (request, socket, head) => void upgrade(request, socket, head));
    const h2 = http2.createServer((request, response) => void serve(request, response));
    h2.on("session", (session) => this.#sessions.add(session));
    this.#servers.push(h1, h2);
    h1.listen(0, "127.0.0.1");
    h2.listen(0, "127.0.0.1");
    await Promise.all([once(h1, "listening"), once(h2, "listening")]);
    this.h1Port = portOf(h1);
    this.h2 = new H2Peer(portOf(h2));
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = "", url = "", headers, rawHeaders } = request;
    this.seen.push({ method, url, headers, rawHeaders, body: Buffer.concat(chunks).toString() });
    const answer = this.answers.get(url.split("?", 1)[0] ?? "");
    if (answer === undefined) response.end("upstream");
    else answer(request, response);
  }
}

/** Answers with an event stream that stays open. */
export function endlessStream(_request: http.IncomingMessage, response: http.ServerResponse): void {
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write("data: first\n\n");
}

/** The parameters of a challenge, and its scheme. */
export function parseChallenge(value: string | undefined): {
  scheme: string;
  parameters: Record<string, string>;
} {
  const [, scheme = "", rest = ""] = /^(\S+) (.*)$/s.exec(value ?? "") ?? [];
  const parameters: Record<string, string> = {};
  let left = rest;
  while (left !== "") {
    const match = /^([a-z_]+)="([^"\\]*)"(?:, |$)/.exec(left);
    if (match === null) throw new Error(`not a challenge: ${value}`);
    parameters[match[1] ?? ""] = match[2] ?? "";
    left = left.slice(match[0].length);
  }
  return { scheme, parameters };
}

export function otherKey(): KeyObject {
  return generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
}
