import type { RecordLog } from "@gatehouse/shared/log-record";
import type { LimitReason } from "./limits.ts";
import type { Metrics } from "./metrics.ts";
import type { Swept } from "./sweep.ts";

/** Milliseconds between two records about shed connections: under a flood, a record for each would be a second flood. */
const REPORT_INTERVAL_MS = 1000;

/** Connections that were reset since the last record of that reason. */
interface Shed {
  readonly reason: LimitReason;
  count: number;
  firstIp: string | undefined;
  reportedAt: number;
}

/** Counts connections that were reset on accept, or to make room, and says so, at most once a second for each reason. */
export class ShedReport implements Swept {
  readonly #log: RecordLog;
  readonly #metrics: Metrics;
  readonly #shed = new Map<LimitReason, Shed>();

  constructor(log: RecordLog, metrics: Metrics) {
    this.#log = log;
    this.#metrics = metrics;
  }

  /** `ip` is undefined when the connection could not even be accepted. */
  count(reason: LimitReason, ip: string | undefined): void {
    this.#metrics.countRefusal(reason, { bytesIn: 0, bytesOut: 0 });
    let shed = this.#shed.get(reason);
    if (shed === undefined) {
      shed = { reason, count: 0, firstIp: undefined, reportedAt: Number.NEGATIVE_INFINITY };
      this.#shed.set(reason, shed);
    }
    shed.count++;
    shed.firstIp ??= ip;
  }

  sweep(now: number): void {
    for (const shed of this.#shed.values()) {
      if (shed.count > 0 && now - shed.reportedAt >= REPORT_INTERVAL_MS) this.#say(shed, now);
    }
  }

  #say(shed: Shed, now: number): void {
    this.#log.write({
      time: Date.now(),
      level: "warn",
      component: "dispatcher",
      event: "connection_refused",
      message: `refused: ${shed.reason} (reset): ${shed.count} since the last such record`,
      reason: shed.reason,
      ...(shed.firstIp !== undefined && { ip: shed.firstIp }),
    });
    shed.count = 0;
    shed.firstIp = undefined;
    shed.reportedAt = now;
  }
}
