import { randomBytes } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "@gatehouse/testbed/certificate-authority";
import { startMcpUpstream } from "@gatehouse/testbed/mcp-upstream";
import { startPrivateRedis } from "@gatehouse/testbed/private-redis";
import type { DemoFile } from "./demo-file.ts";
import { freePort } from "./free-port.ts";
import { GatehouseChild } from "./gatehouse-child.ts";
import { DEMO_HOSTS, type DemoHost } from "./hosts.ts";
import type { Narrator } from "./narrator.ts";
import type { DemoOptions } from "./options.ts";

const LOOPBACK = "127.0.0.1";
const PREFERRED_PUBLIC_PORT = 8443;
const PREFERRED_METRICS_PORT = 9101;

/** Another process may take a port between our look and the child's bind; then the next one is tried. */
const PORT_ATTEMPTS = 5;

/** Connections get one second to end in order when the demo stops; nobody waits for a demo. */
const DRAIN_SECONDS = "1";

/** Whether peers can also come over IPv6 on this machine. */
export function hasIpv6Loopback(): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  return addresses.some(({ address }) => address === "::1");
}

/** The whole system on loopback: Redis, MCP servers, dispatcher, one instance per host. */
export class DemoSystem {
  readonly #options: DemoOptions;
  readonly #narrator: Narrator;
  /** What runs inside this process or belongs to it alone; ended last. */
  readonly #endings: (() => Promise<void>)[] = [];
  readonly #children: GatehouseChild[] = [];

  constructor(options: DemoOptions, narrator: Narrator) {
    this.#options = options;
    this.#narrator = narrator;
  }

  get children(): readonly GatehouseChild[] {
    return this.#children;
  }

  get logDir(): string {
    return join(this.#options.stateDir, "logs");
  }

  /** Starts everything in the order an operator would; when it throws, `stop` ends what was started. */
  async start(): Promise<DemoFile> {
    await mkdir(this.logDir, { recursive: true });
    this.#narrator.step("Redis, the control plane: a private server, nothing to install or configure");
    const redis = await startPrivateRedis();
    this.#endings.push(() => redis.stop());
    this.#narrator.detail(redis.url);

    this.#narrator.step(
      "A throw-away certificate authority, and the MCP servers that Gatehouse stands in front of",
    );
    const authority = await createCertificateAuthority(join(this.#options.stateDir, "ca"));
    const upstreams = await this.#startUpstreams();
    this.#narrator.detail(authority.caPath);
    this.#narrator.detail(`simple at ${upstreams.simple}, fast-echo at ${upstreams.fast_echo}`);

    this.#narrator.step("The dispatcher: reads the server name from the ClientHello, decrypts nothing");
    const { publicPort, metricsPort } = await this.#startDispatcher(redis.url);

    this.#narrator.step("One instance per hostname: two Redis keys each, as an operator would write them");
    const hosts = await this.#startInstances({ redisUrl: redis.url, authority, publicPort, upstreams });
    return {
      dispatcher: { host: LOOPBACK, port: publicPort },
      redis_url: redis.url,
      ca_file: authority.caPath,
      hosts,
      upstreams,
      metrics: { dispatcher: `http://${LOOPBACK}:${metricsPort}/metrics` },
      pids: this.#pids(["dispatcher", ...Object.keys(hosts)]),
    };
  }

  /** In the order of the names: children are listed as they came up. */
  #pids(names: readonly string[]): Record<string, number> {
    const pids = new Map(this.#children.map(({ name, pid }) => [name, pid]));
    return Object.fromEntries(names.map((name) => [name, pids.get(name) ?? 0]));
  }

  /** Ends everything that was started; may be called at any time, and again. */
  async stop(): Promise<void> {
    await Promise.allSettled(this.#children.splice(0).map((child) => child.stop()));
    for (const end of this.#endings.splice(0).toReversed()) await end().catch(() => undefined);
  }

  async #startUpstreams(): Promise<DemoFile["upstreams"]> {
    const { foreignUpstream, pingSeconds } = this.#options;
    const fastEcho = await this.#startUpstream("fast-echo", pingSeconds);
    const simple = foreignUpstream ?? (await this.#startUpstream("simple", pingSeconds));
    return { simple, fast_echo: fastEcho };
  }

  async #startUpstream(name: string, pingSeconds: number): Promise<string> {
    const upstream = await startMcpUpstream({ name, pingIntervalMs: pingSeconds * 1000 });
    this.#endings.push(() => upstream.close());
    return upstream.url;
  }

  async #startDispatcher(redisUrl: string): Promise<{ publicPort: number; metricsPort: number }> {
    const addresses = hasIpv6Loopback() ? [LOOPBACK, "::1"] : [LOOPBACK];
    const stateDir = join(this.#options.stateDir, "state/dispatcher");
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    return await withFreePort(PREFERRED_PUBLIC_PORT, addresses, async (publicPort) => {
      const metricsPort = await freePort([LOOPBACK], PREFERRED_METRICS_PORT);
      const listen = addresses.map((host) => (host.includes(":") ? `[${host}]` : host) + `:${publicPort}`);
      await this.#startChild(
        { package: "dispatcher", name: "dispatcher" },
        {
          REDIS_URL: redisUrl,
          GATEHOUSE_STATE_DIR: stateDir,
          GATEHOUSE_DISPATCHER_LISTEN: listen.join(","),
          GATEHOUSE_DISPATCHER_ADMIN_LISTEN: `${LOOPBACK}:${metricsPort}`,
          GATEHOUSE_DISPATCHER_DRAIN_SECONDS: DRAIN_SECONDS,
        },
      );
      this.#narrator.detail(`listens on ${listen.join(" and ")}`);
      return { publicPort, metricsPort };
    });
  }

  async #startInstances(place: InstancePlace): Promise<DemoFile["hosts"]> {
    const path = place.redisUrl.startsWith("unix://") ? place.redisUrl.slice("unix://".length) : undefined;
    const redis = path === undefined ? new Redis(place.redisUrl) : new Redis({ path });
    redis.on("error", () => undefined); // the command that fails says so
    const secretKey = randomBytes(32).toString("base64url");
    try {
      const started = DEMO_HOSTS.map(async (host) => {
        const port = await this.#startInstance(host, { ...place, redis, secretKey });
        const origin = `https://${host.hostname}:${place.publicPort}`;
        return [host.hostname, { auth: host.config.auth_enabled, origin, port }] as const;
      });
      return Object.fromEntries(await Promise.all(started));
    } finally {
      redis.disconnect();
    }
  }

  async #startInstance(
    host: DemoHost,
    place: InstancePlace & { redis: Redis; secretKey: string },
  ): Promise<number> {
    const { hostname } = host;
    const { certPath, keyPath } = await place.authority.issue([hostname]);
    const stateDir = join(this.#options.stateDir, "state", hostname);
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const config = { target_url: place.upstreams[host.upstream], ...host.config, certificate: "file" };
    await place.redis.set(`proxy:${hostname}`, JSON.stringify(config));
    return await withFreePort(host.port, [LOOPBACK], async (port) => {
      await place.redis.set(`route:${hostname}`, String(port));
      // No address here: the instance takes it from its route.
      await this.#startChild(
        { package: "instance", name: hostname },
        {
          REDIS_URL: place.redisUrl,
          GATEHOUSE_HOSTNAME: hostname,
          GATEHOUSE_STATE_DIR: stateDir,
          GATEHOUSE_SECRET_KEY: place.secretKey,
          GATEHOUSE_PUBLIC_PORT: String(place.publicPort),
          GATEHOUSE_CERTIFICATE_FILE: certPath,
          GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath,
          GATEHOUSE_INSTANCE_DRAIN_SECONDS: DRAIN_SECONDS,
        },
      );
      this.#narrator.detail(`SET route:${hostname} ${port}\nSET proxy:${hostname} ${JSON.stringify(config)}`);
      return port;
    });
  }

  async #startChild(
    role: Parameters<typeof GatehouseChild.start>[0],
    settings: Record<string, string>,
  ): Promise<void> {
    const child = await GatehouseChild.start(role, this.logDir, settings);
    this.#children.push(child);
  }
}

interface InstancePlace {
  readonly redisUrl: string;
  readonly authority: CertificateAuthority;
  readonly publicPort: number;
  readonly upstreams: DemoFile["upstreams"];
}

async function withFreePort<T>(
  preferred: number,
  hosts: readonly string[],
  start: (port: number) => Promise<T>,
): Promise<T> {
  let from = preferred;
  for (let attempt = 1; ; attempt++) {
    const port = await freePort(hosts, from);
    try {
      return await start(port);
    } catch (error) {
      if (attempt === PORT_ATTEMPTS || !String(error).includes("EADDRINUSE")) throw error;
      from = port + 1;
    }
  }
}
