import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer, type Server, type TlsOptions } from "node:tls";
import { startMcpUpstream, type McpUpstream } from "@gatehouse/testbed/mcp-upstream";
import { examine } from "../../../scripts/doctor/examine.ts";
import { readDoctorRequest } from "../../../scripts/doctor/request.ts";
import type { Examined } from "../../../scripts/doctor/step.ts";
import { Claude } from "./claude.ts";
import { FaultyUpstream } from "./faulty-upstream.ts";
import type { Gatehouse } from "./gatehouse.ts";
import { ProtectedGatehouse } from "./protected-gatehouse.ts";

export const PROTECTED = "simple-oauth.localhost";
export const FOREIGN = "other-oauth.localhost";
export const OPEN = "simple.localhost";

/** One run of the doctor. */
export interface DoctorRun {
  readonly all: readonly Examined[];
  /** What failed, by its id. */
  readonly failed: ReadonlyMap<string, Examined>;
}

export interface DoctorCase {
  /** `HOST`, `HOST:PORT` or a URL. Without a port that of the bed. */
  readonly host: string;
  /** Further words; the bed adds address and authority unless they stand here. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Leaves out what the bed adds. */
  readonly isBare?: boolean;
}

/** A Gatehouse in which faults are planted, and the doctor who has to find them. */
export class DoctorBed {
  readonly upstream: McpUpstream;
  readonly faulty: FaultyUpstream;
  readonly protected: ProtectedGatehouse;
  readonly #servers: Server[] = [];

  private constructor(upstream: McpUpstream, faulty: FaultyUpstream, started: ProtectedGatehouse) {
    this.upstream = upstream;
    this.faulty = faulty;
    this.protected = started;
  }

  static async start(): Promise<DoctorBed> {
    const upstream = await startMcpUpstream({ name: "simple", pingIntervalMs: 100 });
    const faulty = await FaultyUpstream.start();
    const upstreamUrl = upstream.url;
    const starting = ProtectedGatehouse.start(
      [
        { hostname: PROTECTED, upstreamUrl },
        { hostname: FOREIGN, upstreamUrl, env: { GATEHOUSE_REDIRECT_SCHEMES: "vscode:" } },
        { hostname: OPEN, upstreamUrl, config: { auth_enabled: false } },
      ],
      {
        instanceEnv: {
          GATEHOUSE_REGISTRATIONS_PER_MINUTE: "10000",
          GATEHOUSE_REGISTRATIONS_PER_REDIRECT_HOST_PER_MINUTE: "10000",
        },
      },
    );
    try {
      return new DoctorBed(upstream, faulty, await starting);
    } catch (error) {
      faulty.close();
      await upstream.close();
      throw error;
    }
  }

  get gatehouse(): Gatehouse {
    return this.protected.gatehouse;
  }

  /** The environment of an operator who may read Redis. */
  get storeEnv(): Record<string, string> {
    return { REDIS_URL: this.gatehouse.redis.url };
  }

  /** Words that make the doctor find the bed. */
  get place(): string[] {
    return ["--address", `127.0.0.1:${this.gatehouse.port}`, "--ca", this.gatehouse.caPath];
  }

  async run(
    which: DoctorCase,
    tell: (text: string) => void = () => undefined,
    stop?: AbortSignal,
  ): Promise<DoctorRun> {
    const { host, args = [], env = {}, isBare = false } = which;
    const words = [host, ...(isBare ? [] : this.place), "--stream-seconds", "1", ...args];
    const all = await examine(readDoctorRequest(words, env), env, { tell, ...(stop && { stop }) });
    const failed = all.filter(({ outcome }) => outcome === "fail").map((one) => [one.id, one] as const);
    return { all, failed: new Map(failed) };
  }

  /** Replaces a host config and waits until it is in force, or refused; it must differ from the one before. */
  async configure(hostname: string, config: Readonly<Record<string, unknown>>): Promise<void> {
    const instance = this.gatehouse.instance(hostname);
    const since = instance.records.count;
    await this.protected.configure({
      hostname,
      upstreamUrl: this.upstream.url,
      config: hostname === OPEN ? { auth_enabled: false, ...config } : config,
    });
    await instance.awaitRecord(/host config (?:in force|not used|deleted)/, { since });
  }

  /** Adds a host with an instance of its own, which has neither login provider nor more than that config. */
  async addHost(hostname: string, config: Readonly<Record<string, unknown>>): Promise<void> {
    await this.gatehouse.addHost({ hostname, upstreamUrl: this.upstream.url, config });
  }

  /** Puts a TLS server of no Gatehouse behind a name. */
  async serveForeign(hostname: string, options: TlsOptions): Promise<void> {
    const server = createServer({ ALPNProtocols: ["h2", "http/1.1"], ...options }, (socket) => {
      socket.on("error", () => undefined);
      socket.once("data", () =>
        socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi"),
      );
    });
    server.on("tlsClientError", () => undefined);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.#servers.push(server);
    await this.route(hostname, `${(server.address() as AddressInfo).port};proxy=off`);
  }

  async route(hostname: string, value: string): Promise<void> {
    await this.gatehouse.store.set(`route:${hostname}`, value);
  }

  /** Logs a person in at a host, and returns the token and what ends it. */
  async token(
    hostname: string,
    resource?: string,
  ): Promise<{ token: string; revoke(this: void): Promise<unknown> }> {
    const claude = new Claude(this.protected.fetch, this.protected.origin(hostname));
    await claude.register();
    const answer = await claude.authorize((url) => this.protected.logIn(url, "octocat"), resource);
    return { token: answer.access_token, revoke: async () => await claude.revoke(answer.access_token) };
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) server.close();
    await this.protected.stop();
    this.faulty.close();
    await this.upstream.close();
  }
}
