import type { RefusalReason } from "./refusal.ts";
import type { Ending } from "./termination.ts";

/** Upper bounds of the hello size histogram in octets: one segment, a post-quantum hello, one with a large ticket, the default limit. */
const HELLO_SIZE_BOUNDS = [256, 512, 1024, 1536, 2048, 4096, 8192, 16_384];

type RouteOutcome = "route" | "none" | "bad" | "unknown";

interface Traffic {
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** What the process counts; {@link renderMetrics} prints it. Counting is an addition or a map update, so it may stand on every path. */
export class Metrics {
  accepted = 0;
  /** Connections whose peer sent nothing: health checks and scanners. */
  goneBeforeHello = 0;
  bytesIn = 0;
  bytesOut = 0;
  readonly ended = new Map<Ending, number>();
  readonly refused = new Map<RefusalReason, number>();
  readonly routeLookups = new Map<RouteOutcome, number>();
  readonly #helloSizes = Array<number>(HELLO_SIZE_BOUNDS.length + 1).fill(0);
  #helloBytes = 0;

  countEnd(ending: Ending, traffic: Traffic): void {
    increment(this.ended, ending);
    this.#countTraffic(traffic);
  }

  countRefusal(reason: RefusalReason, traffic: Traffic): void {
    increment(this.refused, reason);
    this.#countTraffic(traffic);
  }

  countLookup(outcome: RouteOutcome): void {
    increment(this.routeLookups, outcome);
  }

  /** Counts one complete hello of `length` octets. */
  countHello(length: number): void {
    const bucket = HELLO_SIZE_BOUNDS.findIndex((bound) => length <= bound);
    const index = bucket === -1 ? HELLO_SIZE_BOUNDS.length : bucket;
    this.#helloSizes[index] = (this.#helloSizes[index] ?? 0) + 1;
    this.#helloBytes += length;
  }

  #countTraffic({ bytesIn, bytesOut }: Traffic): void {
    this.bytesIn += bytesIn;
    this.bytesOut += bytesOut;
  }

  /** Returns the hello size histogram in Prometheus' cumulative form. */
  *helloSizeLines(name: string): Iterable<string> {
    let seen = 0;
    for (const [index, count] of this.#helloSizes.entries()) {
      seen += count;
      yield `${name}_bucket{le="${HELLO_SIZE_BOUNDS[index] ?? "+Inf"}"} ${seen}`;
    }
    yield `${name}_sum ${this.#helloBytes}`;
    yield `${name}_count ${seen}`;
  }
}

function increment<K>(counter: Map<K, number>, key: K): void {
  counter.set(key, (counter.get(key) ?? 0) + 1);
}

/** What is known only at the moment of asking. Bytes are those of connections still open, which the counters don't hold yet. */
export interface LiveFigures {
  readonly connections: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly isStoreFresh: boolean;
  readonly recordsLost: number;
}

const PREFIX = "gatehouse_dispatcher";

/** Returns the counters in Prometheus' text format. */
export function renderMetrics(metrics: Metrics, live: LiveFigures): string {
  const lines: string[] = [];
  const family = (name: string, type: string, samples: Iterable<string>): void => {
    lines.push(`# TYPE ${PREFIX}_${name} ${type}`, ...samples);
  };
  const single = (name: string, type: string, value: number): void =>
    family(name, type, [`${PREFIX}_${name} ${value}`]);
  const labelled = (name: string, label: string, counter: ReadonlyMap<string, number>): void =>
    family(
      name,
      "counter",
      [...counter].map(([key, count]) => `${PREFIX}_${name}{${label}="${key}"} ${count}`),
    );

  single("connections_active", "gauge", live.connections);
  single("connections_accepted_total", "counter", metrics.accepted);
  single("connections_gone_before_hello_total", "counter", metrics.goneBeforeHello);
  labelled("connections_ended_total", "ending", metrics.ended);
  labelled("connections_refused_total", "reason", metrics.refused);
  labelled("route_lookups_total", "answer", metrics.routeLookups);
  family("bytes_total", "counter", [
    `${PREFIX}_bytes_total{direction="in"} ${metrics.bytesIn + live.bytesIn}`,
    `${PREFIX}_bytes_total{direction="out"} ${metrics.bytesOut + live.bytesOut}`,
  ]);
  family("hello_bytes", "histogram", metrics.helloSizeLines(`${PREFIX}_hello_bytes`));
  single("store_fresh", "gauge", live.isStoreFresh ? 1 : 0);
  single("records_lost_total", "counter", live.recordsLost);
  return `${lines.join("\n")}\n`;
}
