import { AddressList } from "@gatehouse/shared/address";
import type { Hostname } from "@gatehouse/shared/hostname";
import { LEVELS, type Level, type LogRecord, type RecordLog } from "@gatehouse/shared/log-record";
import { MetricRegistry, type LabelValue } from "@gatehouse/shared/metrics";
import { parseRoute, type Target } from "@gatehouse/shared/route";
import type { ConnectionSettings } from "../../src/connection.ts";
import { ConnectionLimits } from "../../src/limits.ts";
import { Listeners } from "../../src/listener.ts";
import { Metrics } from "../../src/metrics.ts";
import { OwnAddresses } from "../../src/own-addresses.ts";
import { ReadBuffers } from "../../src/read-buffers.ts";
import type { RouteAnswer } from "../../src/route-table.ts";
import { Sweep } from "../../src/sweep.ts";
import { until } from "@gatehouse/testbed/until";

/** Keeps the records of one test. */
export class RecordList implements RecordLog {
  readonly all: LogRecord[] = [];
  readonly #level: Level;

  constructor(level: Level = "debug") {
    this.#level = level;
  }

  isEnabled(level: Level): boolean {
    return LEVELS.indexOf(level) <= LEVELS.indexOf(this.#level);
  }

  write(record: LogRecord): void {
    if (this.isEnabled(record.level)) this.all.push(record);
  }

  /** Waits for the only connection record of this test. */
  async one(): Promise<LogRecord> {
    await until(() => this.all.length > 0);
    const [first] = this.all;
    if (!first) throw new Error("no record");
    return first;
  }
}

/** Routes written down in the test: a value as in Redis, or an answer that a route value can't give. */
export type FixedRoutes = Record<string, string | RouteAnswer>;

function findIn(routes: FixedRoutes, hostname: Hostname | undefined): RouteAnswer {
  const name = hostname !== undefined && hostname in routes ? hostname : "*";
  const value = routes[name];
  if (value === undefined) return { kind: "none" };
  if (typeof value !== "string") return value;
  const parsed = parseRoute(value);
  return parsed.ok
    ? { kind: "route", route: parsed.route, name }
    : { kind: "bad", name, problem: parsed.problem };
}

/** A pool that keeps the written order and counts what it is told. */
class FixedPool {
  open = 0;
  readonly failures: string[] = [];

  order(targets: readonly Target[]): readonly Target[] {
    return targets;
  }

  opened(): () => void {
    this.open++;
    return () => void this.open--;
  }

  failed(_target: Target, error: Error): void {
    this.failures.push(error.message);
  }

  succeeded(): void {}
}

export interface DispatcherOptions extends Partial<ConnectionSettings> {
  readonly routes: FixedRoutes | ((hostname: Hostname | undefined) => RouteAnswer | Promise<RouteAnswer>);
  readonly proxyFrom?: string[];
  readonly maxConnections?: number;
  readonly maxConnectionsPerAddress?: number;
  readonly connectionsPerSecondPerAddress?: number;
  readonly maxLeases?: number;
  readonly listen?: readonly string[];
  readonly level?: Level;
}

/** The whole connection path of a dispatcher in this process, on a free port, with routes written in the test. */
export class TestDispatcher {
  readonly records: RecordList;
  readonly pool = new FixedPool();
  readonly registry = new MetricRegistry();
  readonly buffers: ReadBuffers;
  readonly ownAddresses = new OwnAddresses();
  readonly limits: ConnectionLimits;
  readonly sweep = new Sweep();
  readonly listeners: Listeners;
  ports: number[] = [];

  private constructor(options: DispatcherOptions) {
    this.records = new RecordList(options.level);
    this.buffers = new ReadBuffers(options.maxLeases);
    this.limits = new ConnectionLimits({
      max: options.maxConnections ?? 5000,
      maxPerAddress: options.maxConnectionsPerAddress ?? 5000,
      perSecondPerAddress: options.connectionsPerSecondPerAddress ?? 100_000,
    });
    const { routes } = options;
    const senders = AddressList.parse(options.proxyFrom ?? []);
    if (!senders.ok) throw new Error("bad proxyFrom");
    this.listeners = new Listeners(
      {
        routes: { find: typeof routes === "function" ? routes : (hostname) => findIn(routes, hostname) },
        pool: this.pool,
        ownAddresses: this.ownAddresses,
        limits: this.limits,
        buffers: this.buffers,
        sweep: this.sweep,
        metrics: new Metrics(this.registry, {
          connections: () => this.limits.total,
          traffic: () => ({ bytesIn: 0, bytesOut: 0 }),
          isStoreFresh: () => true,
        }),
        log: this.records,
        settings: {
          helloTimeoutMs: 5000,
          maxHelloBytes: 16_384,
          dialTimeoutMs: 2000,
          idleTimeoutMs: 0,
          halfCloseTimeoutMs: 60_000,
          keepAliveDelayMs: 60_000,
          ...options,
        },
      },
      senders.list,
    );
  }

  static async start(options: DispatcherOptions): Promise<TestDispatcher> {
    const dispatcher = new TestDispatcher(options);
    const listen = (options.listen ?? ["127.0.0.1"]).map((host) => ({ kind: "tcp", host, port: 0 }) as const);
    dispatcher.ports = (await dispatcher.listeners.open(listen)).map(({ port }) => port);
    return dispatcher;
  }

  get port(): number {
    return this.ports[0] ?? 0;
  }

  /** A figure below `gatehouse.dispatcher.`, of a histogram its count; 0 while there is no such series. */
  metric(name: string, labels: readonly LabelValue[] = []): number {
    const full = `gatehouse.dispatcher.${name}`;
    const metric = this.registry.collect().find(({ definition }) => definition.name === full);
    if (metric === undefined) throw new Error(`no metric ${full}`);
    const point = metric.points.find((one) => Object.values(one.labels).join() === labels.join());
    const value = point?.value ?? 0;
    return typeof value === "number" ? value : value.count;
  }

  /** Waits until no connection is left. */
  async idle(): Promise<void> {
    await until(() => this.listeners.connections.size === 0);
  }

  async stop(): Promise<void> {
    this.listeners.close();
    await this.listeners.drained(0);
    this.sweep.stop();
  }
}
