import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { freePort } from "@gatehouse/testbed/free-ports";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "@gatehouse/testbed/certificate-authority";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { GatehouseProcess } from "./gatehouse-process.ts";

/** One host to put on the internet. */
export interface HostSpec {
  readonly hostname: string;
  readonly upstreamUrl: string;
  /** Further fields of the host config (contract section 4). */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Between dispatcher and instance. Default `unix`, as `host add` makes it. */
  readonly target?: "unix" | "tcp";
  /** Further environment of this instance. */
  readonly env?: Readonly<Record<string, string>>;
  /** Put before the command of its instance: where it runs. */
  readonly enter?: readonly string[];
}

export interface GatehouseSpec {
  readonly hosts: readonly HostSpec[];
  /** Where the dispatcher listens, all on one port. Default `127.0.0.1`. */
  readonly addresses?: readonly ("127.0.0.1" | "::1")[];
  readonly dispatcherEnv?: Readonly<Record<string, string>>;
  /** Put before the command of the dispatcher: where it runs. */
  readonly dispatcherEnter?: readonly string[];
  /** For every instance. */
  readonly instanceEnv?: Readonly<Record<string, string>>;
  /** Further arguments of redis-server. */
  readonly redisArgs?: string[];
  /** Redis that is there already, instead of a private one; `store` is connected to it as well. */
  readonly redisUrl?: string;
  /** In the `REDIS_URL` of every process; a Redis that asks for none takes any. */
  readonly redisPassword?: string;
  /** Told everything that any of the processes writes. */
  readonly onOutput?: (text: string) => void;
}

/** A whole Gatehouse of real processes on loopback, with a Redis and a certificate authority of its own. */
export interface Gatehouse {
  /** The dispatcher's, and the public one; it stays the same over restarts. */
  readonly port: number;
  readonly caPath: string;
  readonly caPem: string;
  readonly authority: CertificateAuthority;
  readonly redis: PrivateRedis;
  /** A connection to it, as an operator has one. */
  readonly store: RedisClient;
  readonly dispatcher: GatehouseProcess;
  /** Of all its processes. */
  readonly secretKey: string;
  /** By hostname. */
  instance(hostname: string): GatehouseProcess;
  /** Writes host config and route, and starts an instance: what `host add` does. */
  addHost(host: HostSpec): Promise<GatehouseProcess>;
  /** Replaces a host config; resolves when it is written, not when it is in force. */
  configure(hostname: string, config: Readonly<Record<string, unknown>>): Promise<void>;
  /** Ends everything in order and removes the files. */
  stop(): Promise<void>;
}

/** Starts Redis, a dispatcher and one instance per host; resolves when all of them serve. */
export async function startGatehouse(spec: GatehouseSpec): Promise<Gatehouse> {
  // Short, because unix socket paths below it may have 107 octets.
  const directory = await mkdtemp("/tmp/gatehouse-test-");
  const gatehouse = new RunningGatehouse(spec, directory);
  try {
    await gatehouse.start();
    return gatehouse;
  } catch (error) {
    await gatehouse.stop();
    throw error;
  }
}

class RunningGatehouse implements Gatehouse {
  readonly #spec: GatehouseSpec;
  readonly #directory: string;
  readonly secretKey = randomBytes(32).toString("base64url");
  readonly #instances = new Map<string, GatehouseProcess>();
  #port: number | undefined;
  #authority: CertificateAuthority | undefined;
  #redis: PrivateRedis | undefined;
  #store: RedisClient | undefined;
  #dispatcher: GatehouseProcess | undefined;

  constructor(spec: GatehouseSpec, directory: string) {
    this.#spec = spec;
    this.#directory = directory;
  }

  get port(): number {
    return started(this.#port);
  }

  get authority(): CertificateAuthority {
    return started(this.#authority);
  }

  get caPath(): string {
    return this.authority.caPath;
  }

  get caPem(): string {
    return this.authority.caPem;
  }

  get redis(): PrivateRedis {
    return started(this.#redis);
  }

  get #redisUrl(): string {
    return this.#spec.redisUrl ?? this.redis.url;
  }

  get store(): RedisClient {
    return started(this.#store);
  }

  get dispatcher(): GatehouseProcess {
    return started(this.#dispatcher);
  }

  instance(hostname: string): GatehouseProcess {
    const found = this.#instances.get(hostname);
    if (!found) throw new Error(`no instance serves ${hostname}`);
    return found;
  }

  async start(): Promise<void> {
    const { hosts, redisArgs = [], redisUrl } = this.#spec;
    this.#authority = await createCertificateAuthority(join(this.#directory, "ca"));
    if (redisUrl === undefined) this.#redis = await startPrivateRedis({ args: redisArgs });
    this.#store = openRedis({ url: this.#redisUrl, clientName: "test" });
    await once(this.#store, "ready");
    await this.#startDispatcher();
    await Promise.all(hosts.map((host) => this.addHost(host)));
  }

  async addHost(host: HostSpec): Promise<GatehouseProcess> {
    const { hostname, upstreamUrl, config, target = "unix" } = host;
    const socketPath = join(this.#directory, `${hostname}.sock`);
    const route = target === "unix" ? `unix:${socketPath}` : String(await freePort());
    const { certPath, keyPath } = await this.authority.issue([hostname]);
    await this.configure(hostname, { target_url: upstreamUrl, certificate: "file", ...config });
    await this.store.set(`route:${hostname}`, route);
    const instance = new GatehouseProcess({
      role: hostname,
      tier: "instance",
      enter: host.enter,
      onOutput: this.#spec.onOutput,
      env: {
        ...(await this.#commonEnv(`instance-${hostname}`)),
        GATEHOUSE_HOSTNAME: hostname,
        GATEHOUSE_PUBLIC_PORT: String(this.port),
        GATEHOUSE_CERTIFICATE_FILE: certPath,
        GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath,
        GATEHOUSE_INSTANCE_ADMIN_LISTEN: "127.0.0.1:0",
        ...this.#spec.instanceEnv,
        ...host.env,
      },
    });
    this.#instances.set(hostname, instance);
    await instance.start();
    return instance;
  }

  async configure(hostname: string, config: Readonly<Record<string, unknown>>): Promise<void> {
    await this.store.set(`proxy:${hostname}`, JSON.stringify(config));
  }

  async stop(): Promise<void> {
    await Promise.all([this.#dispatcher?.stop(), ...[...this.#instances.values()].map((i) => i.stop())]);
    if (this.#store) await closeRedis(this.#store);
    await this.#redis?.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #startDispatcher(): Promise<void> {
    const { addresses = ["127.0.0.1"], dispatcherEnv } = this.#spec;
    // Chosen here: instances have to know the public port when they start, and one number is needed on every address.
    const port = await freePort(addresses);
    const listen = addresses.map((address) => (address === "::1" ? `[::1]:${port}` : `${address}:${port}`));
    this.#dispatcher = new GatehouseProcess({
      role: "dispatcher",
      tier: "dispatcher",
      enter: this.#spec.dispatcherEnter,
      onOutput: this.#spec.onOutput,
      env: {
        ...(await this.#commonEnv("dispatcher")),
        GATEHOUSE_DISPATCHER_LISTEN: listen.join(","),
        GATEHOUSE_DISPATCHER_ADMIN_LISTEN: "127.0.0.1:0",
        ...dispatcherEnv,
      },
    });
    await this.#dispatcher.start();
    this.#port = port;
  }

  async #commonEnv(name: string): Promise<Record<string, string>> {
    const url = this.#redisUrl;
    const { redisPassword } = this.#spec;
    const stateDirectory = join(this.#directory, name);
    await mkdir(stateDirectory, { mode: 0o700 });
    return {
      REDIS_URL: redisPassword === undefined ? url : `${url}?username=default&password=${redisPassword}`,
      GATEHOUSE_SECRET_KEY: this.secretKey,
      GATEHOUSE_STATE_DIR: stateDirectory,
      // A test that ends doesn't wait for what it left open.
      GATEHOUSE_DISPATCHER_DRAIN_SECONDS: "1",
      GATEHOUSE_INSTANCE_DRAIN_SECONDS: "1",
    };
  }
}

function started<T>(part: T | undefined): T {
  if (part === undefined) throw new Error("Gatehouse has not started");
  return part;
}
