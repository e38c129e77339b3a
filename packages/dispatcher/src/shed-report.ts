import type { RecordLog } from "@gatehouse/shared/log-record";
import type { Metrics } from "./metrics.ts";
import type { Swept } from "./sweep.ts";

/** Milliseconds between two records about shed connections: under a flood, a record for each would be a second flood. */
const REPORT_INTERVAL_MS = 1000;

/** Counts connections that were reset on accept and says so, at most once a second. */
export class ShedReport implements Swept {
  readonly #log: RecordLog;
  readonly #metrics: Metrics;
  #count = 0;
  #firstIp: string | undefined;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(log: RecordLog, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** `ip` is undefined when the connection could not even be accepted. */
  count(ip: string | undefined): void {
    this.#metrics.countRefusal("too_many_connections", { bytesIn: 0, bytesOut: 0 });
    this.#count++;
    this.#firstIp ??= ip;
  }

  sweep(now: number): void {
    if (this.#count === 0 || now - this.#reportedAt < REPORT_INTERVAL_MS) return;
    this.#log.write({
      time: Date.now(),
      level: "warn",
      component: "dispatcher",
      event: "connection_refused",
      message: `refused: too_many_connections (reset): ${this.#count} since the last such record`,
      reason: "too_many_connections",
      ...(this.#firstIp !== undefined && { ip: this.#firstIp }),
    });
    this.#count = 0;
    this.#firstIp = undefined;
    this.#reportedAt = now;
  }
}
