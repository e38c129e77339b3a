import type { MetricDefinition } from "./metric-definition.ts";

/** A status code stays a number on the way to OTLP. */
export type LabelValue = string | number;

/** Counts events, or adds up amounts. A plain addition: it may stand on every path. */
export class Counter {
  #value = 0;

  get value(): number {
    return this.#value;
  }

  add(amount = 1): void {
    this.#value += amount;
  }
}

/** Counts values by size: a walk over a dozen bounds and two additions. */
export class Histogram {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array<number>(bounds.length + 1).fill(0);
  }

  get value(): HistogramValue {
    const counts = [...this.#counts];
    return { counts, sum: this.#sum, count: counts.reduce((all, count) => all + count, 0) };
  }

  /** Bounds are inclusive, as in both wire formats. */
  record(value: number): void {
    let index = 0;
    while (value > (this.#bounds[index] ?? Number.POSITIVE_INFINITY)) index++;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }
}

export interface HistogramValue {
  /** By bucket, not cumulative; the last one has no upper bound. */
  readonly counts: readonly number[];
  readonly sum: number;
  readonly count: number;
}

/** One metric by the values of its labels. A value that is new makes its instrument; known ones cost a look-up per label. */
export class Labelled<I extends Counter | Histogram> {
  readonly #make: () => I;
  readonly #instruments = new Map<LabelValue, Map<LabelValue, I>>();

  constructor(make: () => I) {
    this.#make = make;
  }

  /** In the order of the definition's labels. */
  of(first: LabelValue, second: LabelValue = ""): I {
    let inner = this.#instruments.get(first);
    if (inner === undefined) this.#instruments.set(first, (inner = new Map<LabelValue, I>()));
    let instrument = inner.get(second);
    if (instrument === undefined) inner.set(second, (instrument = this.#make()));
    return instrument;
  }

  /** Makes them at zero, so that the first event is seen as a step and not as the birth of a series. */
  expect(values: Iterable<LabelValue>): this {
    for (const value of values) this.of(value);
    return this;
  }

  *samples(): Iterable<Sample<I["value"]>> {
    for (const [first, inner] of this.#instruments) {
      for (const [second, { value }] of inner) yield { value, labels: [first, second] };
    }
  }
}

/** A value read at collection, with the values of its labels. */
export interface Sample<V = number> {
  readonly value: V;
  readonly labels: readonly LabelValue[];
}

/** One metric at the moment of collection. */
export interface CollectedMetric {
  readonly definition: MetricDefinition;
  readonly points: readonly MetricPoint[];
}

export interface MetricPoint {
  readonly labels: Readonly<Record<string, LabelValue>>;
  /** A {@link HistogramValue} where the definition says `histogram`. */
  readonly value: number | HistogramValue;
}

/** What an observed metric answers with: nothing, where the machine can't tell. */
export type Observed = number | undefined | Iterable<Sample>;

/**
 * The metrics of one process. Counting knows nothing of exporters, and costs nanoseconds: OpenTelemetry's own instruments hash a set of
 * attributes per event (docs/adr/0010). Whoever exports calls {@link collect}.
 */
export class MetricRegistry {
  readonly #metrics = new Map<MetricDefinition, () => Iterable<Sample<number | HistogramValue>>>();

  counter(definition: MetricDefinition): Counter {
    const counter = new Counter();
    return this.#add(definition, counter, () => [{ value: counter.value, labels: [] }]);
  }

  counters(definition: MetricDefinition): Labelled<Counter> {
    const counters = new Labelled(() => new Counter());
    return this.#add(definition, counters, () => counters.samples());
  }

  histogram(definition: MetricDefinition): Histogram {
    const histogram = new Histogram(definition.bounds ?? []);
    return this.#add(definition, histogram, () => [{ value: histogram.value, labels: [] }]);
  }

  histograms(definition: MetricDefinition): Labelled<Histogram> {
    const histograms = new Labelled(() => new Histogram(definition.bounds ?? []));
    return this.#add(definition, histograms, () => histograms.samples());
  }

  /** A metric of any kind but histogram whose values somebody else keeps; read when they are collected. */
  observe(definition: MetricDefinition, read: () => Observed): void {
    this.#add(definition, undefined, () => {
      try {
        const observed = read() ?? [];
        return typeof observed === "number" ? [{ value: observed, labels: [] }] : [...observed];
      } catch {
        // A machine that hides what is read must not end the process that was asked for its metrics.
        return [];
      }
    });
  }

  /** In the order of registration; metrics without a value yet are there without points. */
  collect(): readonly CollectedMetric[] {
    return Array.from(this.#metrics, ([definition, samples]) => ({
      definition,
      points: Array.from(samples(), ({ value, labels }) => ({ value, labels: named(definition, labels) })),
    }));
  }

  #add<I>(
    definition: MetricDefinition,
    instrument: I,
    samples: () => Iterable<Sample<number | HistogramValue>>,
  ): I {
    for (const { name } of this.#metrics.keys()) {
      if (name === definition.name) throw new TypeError(`the metric ${name} is there already`);
    }
    this.#metrics.set(definition, samples);
    return instrument;
  }
}

function named(definition: MetricDefinition, values: readonly LabelValue[]): MetricPoint["labels"] {
  const labels: readonly string[] = definition.labels ?? [];
  return Object.fromEntries(labels.map((label, index) => [label, values[index] ?? ""]));
}
