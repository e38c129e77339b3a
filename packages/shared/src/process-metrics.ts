import { statSync } from "node:fs";
import { monitorEventLoopDelay, performance, type EventLoopUtilization } from "node:perf_hooks";
import type { MetricCatalog } from "./metric-definition.ts";
import type { MetricRegistry } from "./metrics.ts";

/** How often the loop is looked at: late by more than this is what peers feel, and ten times as often would cost ten times as much. */
const RESOLUTION_MS = 10;
/** Readers closer together than this share a window, so that a scraper and an exporter don't take each other's figures away. */
const WINDOW_MS = 5000;
const NANOS_PER_SECOND = 1e9;
const MICROS_PER_SECOND = 1e6;

const LAG = "Time that the event loop was late since the last collection";

/** What every process says of itself, and of its exporter. */
export const PROCESS_METRICS = {
  delayP50: {
    name: "nodejs.eventloop.delay.p50",
    kind: "gauge",
    unit: "s",
    describe: `${LAG}: half of the times.`,
  },
  delayP90: {
    name: "nodejs.eventloop.delay.p90",
    kind: "gauge",
    unit: "s",
    describe: `${LAG}: 90 % of the times.`,
  },
  delayP99: {
    name: "nodejs.eventloop.delay.p99",
    kind: "gauge",
    unit: "s",
    describe: `${LAG}: 99 % of the times.`,
  },
  delayMax: { name: "nodejs.eventloop.delay.max", kind: "gauge", unit: "s", describe: `${LAG}: the worst.` },
  utilization: {
    name: "nodejs.eventloop.utilization",
    kind: "gauge",
    unit: "1",
    describe:
      "Share of the time since the last collection that the event loop was busy; near 1 the process is full.",
  },
  cpuTime: {
    name: "process.cpu.time",
    kind: "counter",
    unit: "s",
    describe: "Processor time used, by all threads.",
    labels: ["cpu.mode"],
  },
  memory: { name: "process.memory.usage", kind: "updown", unit: "By", describe: "Resident memory." },
  descriptors: {
    name: "process.unix.file_descriptor.count",
    kind: "updown",
    unit: "{file_descriptor}",
    describe: "Open descriptors: two for each connection of a dispatcher.",
  },
  uptime: { name: "process.uptime", kind: "gauge", unit: "s", describe: "Since the process started." },
} as const satisfies MetricCatalog;

/** The kernel counts a process's descriptors for `stat` since Linux 6.2; listing them would stop a process that has 100,000. */
const DESCRIPTORS = "/proc/self/fd";

export function registerProcessMetrics(registry: MetricRegistry): void {
  const loop = new EventLoopWatch();
  registry.observe(PROCESS_METRICS.delayP50, () => loop.read().p50);
  registry.observe(PROCESS_METRICS.delayP90, () => loop.read().p90);
  registry.observe(PROCESS_METRICS.delayP99, () => loop.read().p99);
  registry.observe(PROCESS_METRICS.delayMax, () => loop.read().max);
  registry.observe(PROCESS_METRICS.utilization, () => loop.read().utilization);
  registry.observe(PROCESS_METRICS.cpuTime, () => {
    const { user, system } = process.cpuUsage();
    return [
      { value: user / MICROS_PER_SECOND, labels: ["user"] },
      { value: system / MICROS_PER_SECOND, labels: ["system"] },
    ];
  });
  registry.observe(PROCESS_METRICS.memory, () => process.memoryUsage.rss());
  registry.observe(PROCESS_METRICS.descriptors, () => {
    const size = statSync(DESCRIPTORS, { throwIfNoEntry: false })?.size ?? 0;
    return size === 0 ? undefined : size;
  });
  registry.observe(PROCESS_METRICS.uptime, () => process.uptime());
}

type LoopDelays = ReturnType<typeof monitorEventLoopDelay>;

/** Seconds, but for the utilization. */
interface LoopReading {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly utilization: number;
}

/** Watches the event loop from the first reading on: nobody pays for a watch that nobody reads. */
class EventLoopWatch {
  #delays: LoopDelays | undefined;
  #utilization: EventLoopUtilization = performance.eventLoopUtilization();
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: LoopReading = { p50: 0, p90: 0, p99: 0, max: 0, utilization: 0 };

  /** The window since the last reading; the same for a moment, so that all figures of a collection are of one window. */
  read(): LoopReading {
    const now = performance.now();
    if (now - this.#readAt < WINDOW_MS) return this.#reading;
    this.#readAt = now;
    this.#delays ??= startWatch();
    const until = performance.eventLoopUtilization();
    this.#reading = {
      p50: lateness(this.#delays.percentile(50)),
      p90: lateness(this.#delays.percentile(90)),
      p99: lateness(this.#delays.percentile(99)),
      max: lateness(this.#delays.max),
      utilization: performance.eventLoopUtilization(until, this.#utilization).utilization,
    };
    this.#utilization = until;
    this.#delays.reset();
    return this.#reading;
  }
}

function startWatch(): LoopDelays {
  const delays = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  delays.enable();
  return delays;
}

/** Node tells the time between two looks, the pause that was asked for included; without a look it tells 0. */
function lateness(nanos: number): number {
  return Math.max(0, nanos / NANOS_PER_SECOND - RESOLUTION_MS / 1000);
}
