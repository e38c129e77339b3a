import { setTimeout as delay } from "node:timers/promises";
import { healthAnswer, openAdminServer, type AdminServer } from "@gatehouse/shared/admin-server";
import { ConfigError, type ConfigProblem } from "@gatehouse/shared/config-error";
import { connectionsAllowedByDescriptors } from "@gatehouse/shared/descriptors";
import type { HostConfig } from "@gatehouse/shared/host-config";
import {
  formatListenAddress,
  inheritedListeners,
  type ListenAddress,
} from "@gatehouse/shared/listen-address";
import type { MetricRegistry } from "@gatehouse/shared/metrics";
import type { RunningProcess } from "@gatehouse/shared/process-lifecycle";
import { readConfig, type Environment } from "@gatehouse/shared/read-config";
import { openRecords } from "@gatehouse/shared/process-records";
import type { RecordSink, RecordWriter } from "@gatehouse/shared/record-log";
import {
  acmeChallengeKey,
  acmeRenewalRequestKey,
  certificateKey,
  hostConfigKey,
  routeKey,
  signingKeyKey,
} from "@gatehouse/shared/redis-keys";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { Telemetry } from "@gatehouse/shared/telemetry";
import { SYSTEM_CLOCK, type Clock } from "./acme/clock.ts";
import { LiveChallenge } from "./acme/live-challenge.ts";
import { CertificateRenewal } from "./acme/renewal.ts";
import { Authorization } from "./authorization.ts";
import type { DocumentFetcherOptions } from "./authorization-server/document-fetch.ts";
import { instanceOptions, type InstanceConfig } from "./config.ts";
import { FollowedKeys } from "./followed-keys.ts";
import { Forwarder } from "./forward.ts";
import { LiveCertificate } from "./live-certificate.ts";
import { LiveHostConfig } from "./live-host-config.ts";
import { InstanceMetrics } from "./metrics.ts";
import { ownAddresses, reportRoute } from "./own-address.ts";
import { InstanceServer } from "./server.ts";
import { SnapshotFile, type Snapshot } from "./snapshot-file.ts";

/** How long a start waits for a store that doesn't answer, and once more when there is no snapshot to go by. */
const STORE_WAIT_MS = 5000;
/** What the last records get to be written. */
const FLUSH_MS = 2000;

/** What the process gives an instance. */
export interface Surroundings {
  readonly env: Environment;
  readonly pid: number;
  readonly sinks: readonly RecordSink[];
  /** How clients' metadata documents are fetched; by default from public addresses only. */
  readonly documents?: DocumentFetcherOptions;
  /** When certificates are renewed; by default that of the system. */
  readonly clock?: Clock;
}

/**
 * Starts the instance of one hostname; resolves when it serves.
 * @throws {ConfigError} for whatever an operator has to change; the system's error when an address can't be bound
 */
export async function startInstance({ env, pid, ...parts }: Surroundings): Promise<Instance> {
  const config = readConfig(instanceOptions, env);
  const instance = new Instance(config, { ...parts, inherited: inheritedListeners(env, pid) });
  try {
    await instance.start();
  } catch (error) {
    await instance.release();
    throw error;
  }
  return instance;
}

/** One hostname: its parts, the documents they follow, and the order in which they start and stop. */
export class Instance implements RunningProcess {
  readonly #config: InstanceConfig;
  readonly #inherited: readonly ListenAddress[];
  readonly #log: RecordWriter;
  readonly #telemetry: Telemetry;
  readonly #forwarder: Forwarder;
  readonly #certificate: LiveCertificate;
  readonly #challenge: LiveChallenge;
  readonly #renewal: CertificateRenewal;
  readonly #authorization: Authorization;
  readonly #hostConfig: LiveHostConfig;
  readonly #server: InstanceServer;
  readonly #followed: FollowedKeys;
  readonly #snapshotFile: SnapshotFile | undefined;
  /** The Redis values, as last read. */
  #documents: Snapshot = { hostConfig: null, route: null, certificate: null, signingKeys: null };
  /** True once the first documents are complete. */
  #isLoaded = false;
  #state: "starting" | "serving" | "draining" = "starting";
  #admin: AdminServer | undefined;

  constructor(
    config: InstanceConfig,
    {
      sinks,
      inherited,
      documents,
      clock = SYSTEM_CLOCK,
    }: Omit<Surroundings, "env" | "pid"> & { readonly inherited: readonly ListenAddress[] },
  ) {
    const { hostname } = config;
    const keys = hostKeys(config);
    const log = openRecords(config, {
      component: "instance",
      name: hostname,
      sinks,
    });
    const attributes = { "gatehouse.hostname": hostname };
    const telemetry = new Telemetry({ config, log, service: "gatehouse-instance", attributes });
    const metrics = this.#register(telemetry.registry);
    const counted = metrics.counting(log);
    this.#config = config;
    this.#inherited = inherited;
    this.#log = log;
    this.#telemetry = telemetry;
    this.#forwarder = new Forwarder({ hostname, log: counted, limits: config });
    this.#certificate = new LiveCertificate({ hostname, keys, log, files: certificateFiles(config) });
    this.#challenge = new LiveChallenge(hostname);
    this.#renewal = new CertificateRenewal({ ...config, sealing: keys, log, acme: config, clock });
    this.#authorization = new Authorization({
      ...config,
      sealing: keys,
      log: counted,
      oauth: config,
      documents,
      withdraw: (reason, of) => this.#forwarder.withdraw(reason, of),
      onReady: (protection) => this.#server.protect(protection),
      onTokenCheck: (result) => metrics.countTokenCheck(result),
    });
    this.#server = new InstanceServer({
      ...config,
      log: counted,
      metrics,
      forwarder: this.#forwarder,
      authorization: this.#authorization,
      tlsContext: () => this.#certificate.tlsContext(),
      challenge: this.#challenge,
      maxConnections: config.maxConnections ?? connectionsAllowedByDescriptors(),
      http: config,
    });
    this.#hostConfig = new LiveHostConfig({ hostname, log, apply: (hostConfig) => this.#apply(hostConfig) });
    this.#snapshotFile =
      config.stateDir === undefined ? undefined : new SnapshotFile(config.stateDir, hostname, keys);
    this.#followed = this.#follow(config);
  }

  #follow({ redisUrl: url, hostname }: InstanceConfig): FollowedKeys {
    return new FollowedKeys({
      url,
      hostname,
      log: this.#log,
      keys: new Map([
        [certificateKey(hostname), (value) => this.#told({ certificate: value })],
        [routeKey(hostname), (value) => this.#told({ route: value })],
        [signingKeyKey(hostname), (value) => this.#told({ signingKeys: value })],
        [acmeChallengeKey(hostname), (value) => this.#challenge.told(value)],
        [acmeRenewalRequestKey(hostname), (value) => this.#renewal.requestTold(value)],
        [hostConfigKey(hostname), (value) => this.#told({ hostConfig: value })],
      ]),
    });
  }

  /** @throws {Error} when the config names an authority that can't be used */
  #apply(hostConfig: HostConfig | undefined): void {
    this.#server.configure(hostConfig);
    if (!hostConfig) return;
    this.#certificate.configure(hostConfig.certificate);
    this.#renewal.configure(hostConfig.certificate);
  }

  /** Where connections are accepted, as an operator writes it. */
  get addresses(): readonly string[] {
    return this.#server.addresses.map((bound) => {
      if (bound === null) return "an inherited unix socket";
      if (typeof bound === "string") return formatListenAddress({ kind: "unix", path: bound });
      return formatListenAddress({ kind: "tcp", host: bound.address, port: bound.port });
    });
  }

  /** Base URL of health and metrics; undefined when it is off. */
  get adminUrl(): string | undefined {
    return this.#admin?.url;
  }

  async start(): Promise<void> {
    await this.#certificate.start();
    this.#followed.start();
    await this.#loadDocuments();
    // A protected host that can't be opened is refused for the time being; what works is not worth refusing for a moment.
    await this.#authorization.settled();
    const { hostname, listen: configured, adminListen } = this.#config;
    const { route } = this.#documents;
    await this.#server.listen(ownAddresses({ hostname, inherited: this.#inherited, configured, route }));
    if (adminListen) {
      this.#admin = await openAdminServer(adminListen, {
        "/health": () => this.#health(),
        "/metrics": () => this.#telemetry.page(),
      });
    }
    await this.#telemetry.start();
    this.#state = "serving";
    this.#renewal.start();
    const admin = this.#admin === undefined ? "" : `, admin on ${this.#admin.url}`;
    const addresses = this.addresses.join(", ");
    this.#record("process_started", `instance started: ${hostname} on ${addresses}${admin}`);
  }

  /** HUP. */
  reload(): void {
    this.#certificate.reload();
  }

  get drainMs(): number {
    return this.#config.drainSeconds * 1000;
  }

  async drain(): Promise<void> {
    this.#state = "draining";
    this.#record("process_stopping", `instance stopping: ${this.#config.drainSeconds} s for what runs`);
    // No challenge is answered here any more: another instance, or the next start, continues.
    await this.#renewal.close();
    await this.#server.drain(this.drainMs);
    this.#record("process_stopped", "instance stopped");
    await this.release();
  }

  /** Lets go of everything but the connections. */
  async release(): Promise<void> {
    this.#certificate.close();
    await Promise.all([
      this.#renewal.close(),
      this.#authorization.close(),
      this.#followed.close(),
      this.#snapshotFile?.settled(),
      this.#admin?.close(),
    ]);
    const exported = this.#telemetry.close();
    await this.#log.close(FLUSH_MS);
    await exported;
  }

  /** What is read at a collection exists by then. */
  #register(registry: MetricRegistry): InstanceMetrics {
    return new InstanceMetrics(registry, {
      requests: () => this.#server.requests,
      connections: () => this.#server.connections,
      streams: () => this.#forwarder.streams,
      certificate: () => this.#certificate.report(),
      isStoreFresh: () => this.#followed.isFresh,
    });
  }

  /**
   * Finds the first host config: from Redis, else, when that is away or holds a bad one, from the snapshot.
   * @throws {ConfigError} when there is none
   */
  async #loadDocuments(): Promise<void> {
    const isRead = await this.#isStoreRead({ orLost: true });
    const snapshot = await this.#snapshotFile?.read();
    if (isRead) this.#serveStore(snapshot);
    else if (snapshot && snapshot.hostConfig !== null) this.#serveSnapshot(snapshot, snapshot.hostConfig);
    else if (await this.#isStoreRead({ orLost: false })) this.#serveStore(undefined);
    if (!this.#hostConfig.current) throw this.#noHostConfig();
  }

  #serveStore(snapshot: Snapshot | undefined): void {
    this.#isLoaded = true;
    this.#told(this.#documents);
    const isBad = this.#hostConfig.report().state === "bad";
    if (isBad && typeof snapshot?.hostConfig === "string") this.#hostConfig.restore(snapshot.hostConfig);
  }

  #serveSnapshot(snapshot: Snapshot, hostConfig: string): void {
    this.#isLoaded = true;
    this.#documents = snapshot;
    this.#authorization.signingKeysTold(snapshot.signingKeys);
    this.#offerStored(snapshot.certificate);
    this.#hostConfig.restore(hostConfig);
  }

  /** True when every key was read; false when the store is away (`orLost`), or did not answer in time. */
  async #isStoreRead({ orLost }: { orLost: boolean }): Promise<boolean> {
    const timer = new AbortController();
    const answers = [
      this.#followed.whenRead.then(() => true),
      delay(STORE_WAIT_MS, false, { signal: timer.signal }).catch(() => false),
    ];
    if (orLost) answers.push(this.#followed.whenLost.then(() => false));
    const isRead = await Promise.race(answers);
    timer.abort();
    return isRead;
  }

  /** Redis values, new or read again. Until the first are complete they only wait, so that they are put in force in order. */
  #told(values: Partial<Snapshot>): void {
    this.#documents = { ...this.#documents, ...values };
    if (!this.#isLoaded) return;
    if (values.certificate !== undefined) this.#offerStored(values.certificate);
    // Before a config that may open the authorization server with them.
    if (values.signingKeys !== undefined) this.#authorization.signingKeysTold(values.signingKeys);
    if (values.hostConfig !== undefined) this.#hostConfig.offer(values.hostConfig);
    const { route, certificate } = this.#documents;
    // A bad config is not worth keeping: the snapshot holds what can be served.
    this.#snapshotFile?.write({
      hostConfig: this.#hostConfig.goodText ?? null,
      route,
      certificate,
      signingKeys: this.#authorization.signingKeyText,
    });
  }

  #offerStored(text: string | null): void {
    this.#certificate.offerStored(text);
    this.#renewal.certificateTold(text);
  }

  #noHostConfig(): ConfigError {
    const { hostname } = this.#config;
    const key = hostConfigKey(hostname);
    const { state, problems } = this.#hostConfig.report();
    const missing: ConfigProblem = this.#isLoaded
      ? {
          key,
          expected: `is required in Redis: gatehouse host add ${hostname} --target URL`,
          got: "no such key",
        }
      : {
          key: "REDIS_URL",
          expected: `must be reachable for the first start (there is no snapshot with ${key} yet)`,
        };
    return new ConfigError(`no usable host config for ${hostname}`, state === "bad" ? problems : [missing]);
  }

  #health(): ReturnType<typeof healthAnswer> {
    const { route } = this.#documents;
    return healthAnswer(this.#state === "serving", {
      status: this.#state,
      hostname: this.#config.hostname,
      listening: this.addresses,
      route: reportRoute(route, this.#server.addresses),
      config: this.#hostConfig.report(),
      certificate: { ...this.#certificate.report(), renewal: this.#renewal.report() },
      authorization: this.#authorization.report(),
      store: { is_fresh: this.#followed.isFresh },
      snapshot: { is_kept: this.#snapshotFile !== undefined, problem: this.#snapshotFile?.problem },
      connections: this.#server.connections,
      requests: this.#server.requests,
      records_lost: this.#log.lost,
    });
  }

  #record(event: "process_started" | "process_stopping" | "process_stopped", message: string): void {
    const { hostname } = this.#config;
    this.#log.write({ time: Date.now(), level: "info", component: "instance", event, hostname, message });
  }
}

/** @throws {ConfigError} when the keys don't fit together or belong to another hostname */
function hostKeys({ hostname, secretKey, oldSecretKeys }: InstanceConfig): SealingKeys {
  const keys = SealingKeys.parse(secretKey, oldSecretKeys)?.forHostname(hostname);
  if (keys) return keys;
  throw new ConfigError("configuration can't be used", [
    {
      key: "GATEHOUSE_SECRET_KEY, GATEHOUSE_SECRET_KEYS_OLD",
      expected: `must be all root keys, or all made for ${hostname}`,
    },
  ]);
}

/** @throws {ConfigError} when only one of the two paths is given */
function certificateFiles(config: InstanceConfig): { certificatePath: string; keyPath: string } | undefined {
  const { certificateFile, certificateKeyFile } = config;
  if (certificateFile !== undefined && certificateKeyFile !== undefined) {
    return { certificatePath: certificateFile, keyPath: certificateKeyFile };
  }
  if (certificateFile === certificateKeyFile) return undefined;
  throw new ConfigError("configuration can't be used", [
    {
      key: "GATEHOUSE_CERTIFICATE_FILE, GATEHOUSE_CERTIFICATE_KEY_FILE",
      expected: "must be given together or not at all",
    },
  ]);
}
