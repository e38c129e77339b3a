import type { Counter, Histogram, Labelled, MetricRegistry } from "@gatehouse/shared/metrics";
import { DISPATCHER_METRICS } from "./metric-catalog.ts";
import { ConnectionRefusal, type RefusalReason } from "./refusal.ts";
import type { RouteAnswer } from "./route-table.ts";
import { ENDINGS, type Ending } from "./termination.ts";
import { REFUSAL_REASONS } from "./tls-alert.ts";

/** How a search for a target ended: `abandoned` when the connection ended before it. */
type DialResult = "connected" | "failed" | "abandoned";

interface Traffic {
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** What is known only at the moment of asking. */
export interface LiveFigures {
  readonly connections: () => number;
  /** Of connections still open, which the counters don't hold yet: a stream of a day would else show its bytes when it ends. */
  readonly traffic: () => Traffic;
  readonly isStoreFresh: () => boolean;
}

/** What the dispatcher counts. Counting is an addition, or one after a map's look-up, so it may stand on every path. */
export class Metrics {
  readonly accepted: Counter;
  /** Connections whose peer sent nothing: health checks and scanners. */
  readonly silent: Counter;
  readonly #ended: ReadonlyMap<Ending, Counter>;
  readonly #over: Labelled<Counter>;
  readonly #routeLookups: Labelled<Counter>;
  readonly #helloSize: Histogram;
  readonly #helloDuration: Histogram;
  readonly #dialDuration: Labelled<Histogram>;
  #bytesIn = 0;
  #bytesOut = 0;

  constructor(registry: MetricRegistry, live: LiveFigures) {
    const catalog = DISPATCHER_METRICS;
    this.accepted = registry.counter(catalog.accepted);
    registry.observe(catalog.active, () => live.connections());
    this.#over = registry.counters(catalog.over);
    this.silent = registry.counter(catalog.silent);
    this.#helloSize = registry.histogram(catalog.helloSize);
    this.#helloDuration = registry.histogram(catalog.helloDuration);
    this.#routeLookups = registry.counters(catalog.routeLookups);
    registry.observe(catalog.io, () => {
      const { bytesIn, bytesOut } = live.traffic();
      return [
        { value: this.#bytesIn + bytesIn, labels: ["receive"] },
        { value: this.#bytesOut + bytesOut, labels: ["transmit"] },
      ];
    });
    this.#dialDuration = registry
      .histograms(catalog.dialDuration)
      .expect(["connected", "failed", "abandoned"]);
    registry.observe(catalog.redisConnected, () => (live.isStoreFresh() ? 1 : 0));
    // At zero from the start, so that the first of a kind is seen as a step.
    this.#ended = new Map(
      ENDINGS.map((ending) => [ending, this.#over.of("ended", ending.replaceAll(/[ -]/g, "_"))]),
    );
    for (const reason of [...REFUSAL_REASONS, "bad_proxy_header"]) this.#over.of("refused", reason);
  }

  countEnd(ending: Ending, traffic: Traffic): void {
    this.#ended.get(ending)?.add();
    this.#countTraffic(traffic);
  }

  countRefusal(reason: RefusalReason, traffic: Traffic): void {
    this.#over.of("refused", reason).add();
    this.#countTraffic(traffic);
  }

  /** `isRemembered`: the answer was there at once, without a question to Redis. */
  countLookup(answer: RouteAnswer["kind"], isRemembered: boolean): void {
    this.#routeLookups.of(answer, isRemembered ? "memory" : "redis").add();
  }

  /** Counts one complete hello of `length` octets, `durationMs` after the connection was accepted. */
  countHello(length: number, durationMs: number): void {
    this.#helloSize.record(length);
    this.#helloDuration.record(durationMs / 1000);
  }

  /** Passes on what the dial settles with. A refusal is its own answer, all else that it throws came from elsewhere. */
  async timeDial<T>(run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    let result: DialResult = "abandoned";
    try {
      const dialled = await run();
      result = "connected";
      return dialled;
    } catch (error) {
      if (error instanceof ConnectionRefusal) result = "failed";
      throw error;
    } finally {
      this.#dialDuration.of(result).record((performance.now() - startedAt) / 1000);
    }
  }

  #countTraffic({ bytesIn, bytesOut }: Traffic): void {
    this.#bytesIn += bytesIn;
    this.#bytesOut += bytesOut;
  }
}
