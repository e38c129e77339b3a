import { openAdminServer, healthAnswer, type AdminServer } from "@gatehouse/shared/admin-server";
import { connectionsAllowedByDescriptors } from "@gatehouse/shared/descriptors";
import { formatListenAddress, type ListenAddress } from "@gatehouse/shared/listen-address";
import type { EventName, Level, LogRecord } from "@gatehouse/shared/log-record";
import type { RunningProcess } from "@gatehouse/shared/process-lifecycle";
import type { RecordWriter } from "@gatehouse/shared/record-log";
import { formatTarget, type Target } from "@gatehouse/shared/route";
import { Telemetry } from "@gatehouse/shared/telemetry";
import type { AddressInfo } from "node:net";
import type { DispatcherConfig } from "./config.ts";
import { ConnectionLimits } from "./limits.ts";
import { Listeners } from "./listener.ts";
import { Metrics } from "./metrics.ts";
import { PlainPort } from "./plain-port.ts";
import { OwnAddresses } from "./own-addresses.ts";
import { ReadBuffers } from "./read-buffers.ts";
import { RouteTable } from "./route-table.ts";
import { Sweep } from "./sweep.ts";
import { TargetPool } from "./target-pool.ts";

/** Milliseconds that the last records have for reaching their sinks. */
const FLUSH_MS = 2000;

/** What the process says of itself; connections have records of their own. */
const LEVEL_OF_EVENT = {
  process_started: "info",
  process_stopping: "info",
  process_stopped: "info",
  store_lost: "warn",
  store_regained: "info",
  route_bad: "warn",
  snapshot_bad: "warn",
  target_ejected: "warn",
  target_returned: "info",
} as const satisfies Partial<Record<EventName, Level>>;

/** One dispatcher: routes, listeners, health and metrics, and the records of what happens to them. */
export class Dispatcher implements RunningProcess {
  readonly #config: DispatcherConfig;
  readonly #log: RecordWriter;
  readonly #telemetry: Telemetry;
  readonly #limits: ConnectionLimits;
  readonly #sweep = new Sweep();
  readonly #routes: RouteTable;
  readonly #listeners: Listeners;
  readonly #plainPort: PlainPort;
  #admin: AdminServer | undefined;
  #isDraining = false;

  constructor(config: DispatcherConfig, log: RecordWriter) {
    this.#config = config;
    this.#log = log;
    this.#limits = new ConnectionLimits({
      max: config.maxConnections ?? connectionsAllowedByDescriptors(),
      maxPerAddress: config.maxConnectionsPerAddress,
      perSecondPerAddress: config.connectionsPerSecondPerAddress,
    });
    this.#routes = new RouteTable({
      redisUrl: config.redisUrl,
      stateDir: config.stateDir,
      onBadRoute: (name, problem) => this.#say("route_bad", `route:${name}: ${problem}`),
      onStoreLost: (reason) => this.#say("store_lost", `Redis is away, known routes go on: ${reason}`),
      onStoreRegained: () => this.#say("store_regained", "Redis is back, routes are read again"),
      onProblem: (problem) => this.#say("snapshot_bad", problem),
    });
    this.#telemetry = new Telemetry({ config, log, service: "gatehouse-dispatcher" });
    const metrics = new Metrics(this.#telemetry.registry, {
      connections: () => this.#limits.total,
      traffic: () => this.#openTraffic(),
      isStoreFresh: () => this.#routes.isFresh,
    });
    const pool = new TargetPool({
      onEjected: (target, error) =>
        this.#sayOfTarget("target_ejected", target, `set aside: ${error.message}`),
      onReturned: (target) => this.#sayOfTarget("target_returned", target, "answers again"),
    });
    this.#plainPort = new PlainPort({ ...config, routes: this.#routes, log });
    this.#listeners = new Listeners(
      {
        routes: this.#routes,
        pool,
        ownAddresses: new OwnAddresses(),
        limits: this.#limits,
        buffers: new ReadBuffers(),
        sweep: this.#sweep,
        metrics,
        log,
        settings: {
          ...config,
          idleTimeoutMs: config.idleTimeoutSeconds * 1000,
          halfCloseTimeoutMs: config.halfCloseTimeoutSeconds * 1000,
          keepAliveDelayMs: config.keepAliveSeconds * 1000,
        },
      },
      config.proxyFrom,
    );
  }

  /**
   * Waits for routes (bounded), then accepts. `inherited` descriptors take the place of the configured addresses.
   * @throws the system's error when an address can't be bound
   */
  async start(inherited: readonly ListenAddress[]): Promise<void> {
    await this.#routes.start();
    if (this.#config.adminListen) {
      this.#admin = await openAdminServer(this.#config.adminListen, {
        "/health": () => this.#health(),
        "/metrics": () => this.#telemetry.page(),
      });
    }
    await this.#telemetry.start();
    const { listen, httpListen = [] } = this.#config;
    const [plain, secure] = [inherited.filter(isPlain), inherited.filter((address) => !isPlain(address))];
    const bound = await this.#listeners.open(secure.length > 0 ? secure : listen);
    const plainBound = await this.#openPlainPort(plain.length > 0 ? plain : httpListen);
    const admin = this.#admin === undefined ? "" : `, admin on ${this.#admin.url}`;
    const addresses = bound.map(printAddress).join(", ");
    this.#say("process_started", `dispatcher listening on ${addresses}${plainBound}${admin}`);
  }

  async #openPlainPort(addresses: readonly ListenAddress[]): Promise<string> {
    if (addresses.length === 0) return "";
    const bound = await this.#plainPort.open(addresses);
    return `, http on ${bound.map(printAddress).join(", ")}`;
  }

  get drainMs(): number {
    return this.#config.drainSeconds * 1000;
  }

  /** Stops accepting at once; connections go on until they end or the drain deadline comes. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    this.#listeners.close();
    const open = this.#listeners.connections.size;
    this.#say(
      "process_stopping",
      `no new connections; ${open} open ones may go on for ${this.#config.drainSeconds} s`,
    );
    await Promise.all([this.#plainPort.close(), this.#listeners.drained(this.drainMs)]);
    await this.#routes.close();
    await this.#admin?.close();
    this.#sweep.stop();
    this.#say("process_stopped", "dispatcher stopped");
    const exported = this.#telemetry.close();
    await this.#log.close(FLUSH_MS);
    await exported;
  }

  /** 503 while draining, so that a balancer in front sends nobody here any more; a lost Redis is no reason to. */
  #health() {
    return healthAnswer(!this.#isDraining, {
      status: this.#isDraining ? "draining" : "ok",
      connections: this.#limits.total,
      redis: this.#routes.isFresh ? "ok" : "away",
    });
  }

  #openTraffic(): { readonly bytesIn: number; readonly bytesOut: number } {
    let bytesIn = 0;
    let bytesOut = 0;
    for (const connection of this.#listeners.connections) {
      bytesIn += connection.bytesIn;
      bytesOut += connection.bytesOut;
    }
    return { bytesIn, bytesOut };
  }

  #sayOfTarget(event: "target_ejected" | "target_returned", target: Target, what: string): void {
    const upstream = formatTarget(target);
    this.#say(event, `target ${upstream} ${what}`, { upstream });
  }

  #say(event: keyof typeof LEVEL_OF_EVENT, message: string, more: Partial<LogRecord> = {}): void {
    const level = LEVEL_OF_EVENT[event];
    this.#log.write({ time: Date.now(), level, component: "dispatcher", event, message, ...more });
  }
}

/** A supervisor tells the plain port by its name (FileDescriptorName=http in a systemd socket). */
function isPlain(address: ListenAddress): boolean {
  return address.kind === "fd" && address.name === "http";
}

function printAddress({ address, port }: AddressInfo): string {
  return formatListenAddress({ kind: "tcp", host: address, port });
}
