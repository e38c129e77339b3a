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
import { FreePorts } from "./free-port.ts";
import { GatehouseChild } from "./gatehouse-child.ts";
import { realGitHub, standInGitHub, type DemoGitHub } from "./github.ts";
import { DEMO_HOSTS, PROTECTED_HOST, type DemoHost } from "./hosts.ts";
import type { Narrator } from "./narrator.ts";
import type { DemoOptions } from "./options.ts";
import { keepSecretKey } from "./secret-key.ts";

const LOOPBACK = "127.0.0.1";
const PREFERRED_PUBLIC_PORT = 8443;
const PREFERRED_METRICS_PORT = 9101;
const PREFERRED_INSTANCE_METRICS_PORT = 9201;

/** Connections get one second to end in order when the demo stops; nobody waits for a demo. */
const DRAIN_SECONDS = "1";

/** A test suite that has the demo before it registers a client for each of its tests (contract section 5). */
const REGISTRATIONS_PER_MINUTE = "300";

/** Whether peers can also come over IPv6 on this machine. */
export function hasIpv6Loopback(): boolean {
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? []);
  return addresses.some(({ address }) => address === "::1");
}

/** The whole system on loopback: Redis, MCP servers, dispatcher, GitHub or what stands in for it, one instance per host. */
export class DemoSystem {
  readonly #options: DemoOptions;
  readonly #narrator: Narrator;
  /** What runs inside this process or belongs to it alone; ended last. */
  readonly #endings: (() => Promise<void>)[] = [];
  readonly #children: GatehouseChild[] = [];
  readonly #ports = new FreePorts();

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

    const github = await this.#openGitHub(publicPort);

    this.#narrator.step("One instance per hostname: two Redis keys each, as an operator would write them");
    const secretKeyFile = join(this.#options.stateDir, "state/secret-key");
    await keepSecretKey(secretKeyFile);
    const settings = {
      ...github.settings,
      REDIS_URL: redis.url,
      GATEHOUSE_SECRET_KEY_FILE: secretKeyFile,
      GATEHOUSE_PUBLIC_PORT: String(publicPort),
      GATEHOUSE_INSTANCE_DRAIN_SECONDS: DRAIN_SECONDS,
      GATEHOUSE_REGISTRATIONS_PER_MINUTE: REGISTRATIONS_PER_MINUTE,
      GATEHOUSE_REGISTRATIONS_PER_REDIRECT_HOST_PER_MINUTE: REGISTRATIONS_PER_MINUTE,
    };
    const { hosts, metrics } = await this.#startInstances({
      redisUrl: redis.url,
      authority,
      publicPort,
      upstreams,
      settings,
    });
    return {
      dispatcher: { host: LOOPBACK, port: publicPort },
      redis_url: redis.url,
      ca_file: authority.caPath,
      hosts,
      github: github.file,
      upstreams,
      metrics: { dispatcher: metricsPage(metricsPort), ...metrics },
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
    return await this.#ports.startOn(addresses, PREFERRED_PUBLIC_PORT, async (publicPort) => {
      const metricsPort = await this.#ports.find([LOOPBACK], PREFERRED_METRICS_PORT);
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

  async #openGitHub(publicPort: number): Promise<DemoGitHub> {
    const { githubApp } = this.#options;
    if (githubApp !== undefined) {
      const github = realGitHub(githubApp);
      this.#narrator.step(`${github.file.url}, where people sign in, with the app of GITHUB_CLIENT_ID`);
      this.#narrator.detail(
        `its callback URL there must be ${originOf(PROTECTED_HOST.hostname, publicPort)}/callback`,
      );
      return github;
    }
    this.#narrator.step("A stand-in for GitHub, where people sign in: no network, no account of yours");
    const [first, ...others] = DEMO_HOSTS.map(({ hostname }) => originOf(hostname, publicPort));
    if (first === undefined) throw new Error("the demo has no hosts");
    const github = await standInGitHub([first, ...others]);
    this.#endings.push(() => github.close());
    this.#narrator.detail(`${github.file.url}, with the accounts ${github.file.users.join(" and ")}`);
    return github;
  }

  async #startInstances(
    place: InstancePlace,
  ): Promise<{ hosts: DemoFile["hosts"]; metrics: Record<string, string> }> {
    const path = place.redisUrl.startsWith("unix://") ? place.redisUrl.slice("unix://".length) : undefined;
    const redis = path === undefined ? new Redis(place.redisUrl) : new Redis({ path });
    redis.on("error", () => undefined); // the command that fails says so
    try {
      const started = await Promise.all(
        DEMO_HOSTS.map(async (host) => {
          const { port, metricsPort } = await this.#startInstance(host, { ...place, redis });
          const origin = originOf(host.hostname, place.publicPort);
          const entry = { auth: host.config.auth_enabled, origin, port };
          return { hostname: host.hostname, entry, metrics: metricsPage(metricsPort) };
        }),
      );
      return {
        hosts: Object.fromEntries(started.map(({ hostname, entry }) => [hostname, entry])),
        metrics: Object.fromEntries(started.map(({ hostname, metrics }) => [hostname, metrics])),
      };
    } finally {
      redis.disconnect();
    }
  }

  async #startInstance(
    host: DemoHost,
    place: InstancePlace & { redis: Redis },
  ): Promise<{ port: number; metricsPort: number }> {
    const { hostname } = host;
    const { certPath, keyPath } = await place.authority.issue([hostname]);
    const stateDir = join(this.#options.stateDir, "state", hostname);
    await mkdir(stateDir, { recursive: true, mode: 0o700 });
    const config = { target_url: place.upstreams[host.upstream], ...host.config, certificate: "file" };
    await place.redis.set(`proxy:${hostname}`, JSON.stringify(config));
    return await this.#ports.startOn([LOOPBACK], host.port, async (port) => {
      await place.redis.set(`route:${hostname}`, String(port));
      const metricsPort = await this.#ports.find([LOOPBACK], PREFERRED_INSTANCE_METRICS_PORT);
      // No address here: the instance takes it from its route.
      await this.#startChild(
        { package: "instance", name: hostname },
        {
          ...place.settings,
          GATEHOUSE_HOSTNAME: hostname,
          GATEHOUSE_INSTANCE_ADMIN_LISTEN: `${LOOPBACK}:${metricsPort}`,
          GATEHOUSE_STATE_DIR: stateDir,
          GATEHOUSE_CERTIFICATE_FILE: certPath,
          GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath,
        },
      );
      this.#narrator.detail(`SET route:${hostname} ${port}\nSET proxy:${hostname} ${JSON.stringify(config)}`);
      return { port, metricsPort };
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
  /** What all instances have in common, as environment variables. */
  readonly settings: Readonly<Record<string, string>>;
}

function metricsPage(port: number): string {
  return `http://${LOOPBACK}:${port}/metrics`;
}

function originOf(hostname: string, publicPort: number): string {
  return `https://${hostname}:${publicPort}`;
}
