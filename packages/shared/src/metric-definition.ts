/**
 * `counter` only grows. `updown` is a sum over all processes of what is there now, `gauge` a reading that has no sum. `histogram` counts
 * values by size.
 */
export type MetricKind = "counter" | "updown" | "gauge" | "histogram";

/**
 * One metric, as documentation and both wire formats have it. The catalogs of a process list all it exports, `docs/metrics.md` is printed
 * from them, and a test compares them with what a running process says.
 */
export interface MetricDefinition {
  /** As OpenTelemetry's semantic conventions write it, where they know it; else below `gatehouse.`. */
  readonly name: string;
  readonly kind: MetricKind;
  /** UCUM: `s`, `By`, `1`, or `{what is counted}`. */
  readonly unit: string;
  /** One sentence for the operator. */
  readonly describe: string;
  /** At most two. Each has a bounded set of values, none of which a peer can choose: no address, path, user or client. */
  readonly labels?: readonly [string] | readonly [string, string];
  /** Upper bounds of a histogram's buckets, rising, in the metric's unit. */
  readonly bounds?: readonly number[];
}

export type MetricCatalog = Readonly<Record<string, MetricDefinition>>;

/** What the conventions advise for the duration of requests, in seconds; also good for dials and handshakes. */
export const DURATION_BOUNDS: readonly number[] = [
  0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
];
