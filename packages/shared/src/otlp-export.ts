import { ValueType, type HrTime } from "@opentelemetry/api";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { resourceFromAttributes, type Resource } from "@opentelemetry/resources";
import {
  AggregationTemporality,
  DataPointType,
  PeriodicExportingMetricReader,
  type CollectionResult,
  type DataPoint,
  type Histogram,
  type MetricData,
  type MetricProducer,
  type PushMetricExporter,
} from "@opentelemetry/sdk-metrics";
import type { MetricDefinition } from "./metric-definition.ts";
import type { CollectedMetric, HistogramValue, MetricRegistry } from "./metrics.ts";

// This file and nothing else loads OpenTelemetry, and is loaded by `import()` when a collector is configured.

/** What the exporter gives one export, retries included, unless `OTEL_EXPORTER_OTLP_TIMEOUT` says otherwise. */
const LIBRARY_TIMEOUT_MS = 10_000;
/** After which the reader believes that an exporter hangs; it may not be longer than the interval. */
const READER_TIMEOUT_MS = 30_000;

export interface OtlpExportOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Milliseconds between two exports. */
  readonly intervalMs: number;
  readonly registry: MetricRegistry;
  readonly resource: Readonly<Record<string, string>>;
  /** Told once for each export, when it arrived or was given up. */
  readonly onExported: (isOk: boolean) => void;
}

export interface OtlpExport {
  /** Exports once more, within so many milliseconds, and stops. Never rejects. */
  close(deadlineMs: number): Promise<void>;
}

/**
 * Pushes the registry to a collector, by OTLP over HTTP in protobuf. Compression, certificates and timeout of the export are what the
 * library reads from the standard variables by itself. Its complaints go to a logger that nobody has set.
 */
export function startOtlpExport(options: OtlpExportOptions): OtlpExport {
  const { url, headers, intervalMs } = options;
  const exporter = new OTLPMetricExporter({
    url,
    headers: { ...headers },
    // Retries included, an export is over before the next begins; longer intervals leave the library its own bound.
    ...(intervalMs < LIBRARY_TIMEOUT_MS && { timeoutMillis: intervalMs }),
  });
  const reader = new PeriodicExportingMetricReader({
    exporter: counted(exporter, options.onExported),
    exportIntervalMillis: intervalMs,
    exportTimeoutMillis: Math.min(intervalMs, READER_TIMEOUT_MS),
  });
  // What a MeterProvider would do; one of its own would bring a second set of instruments that nobody uses.
  reader.setMetricProducer(new RegistryProducer(options.registry, resourceFromAttributes(options.resource)));
  return {
    close: async (deadlineMs) => {
      await reader.shutdown({ timeoutMillis: deadlineMs }).catch(() => undefined);
    },
  };
}

function counted(exporter: PushMetricExporter, onExported: (isOk: boolean) => void): PushMetricExporter {
  return {
    export: (metrics, done) =>
      exporter.export(metrics, (result) => {
        onExported(result.error === undefined);
        done(result);
      }),
    forceFlush: () => exporter.forceFlush(),
    shutdown: () => exporter.shutdown(),
  };
}

/** The registry in OpenTelemetry's data model: sums since the start of the process, one scope. */
class RegistryProducer implements MetricProducer {
  readonly #registry: MetricRegistry;
  readonly #resource: Resource;
  readonly #startTime = hrTime(performance.timeOrigin);

  constructor(registry: MetricRegistry, resource: Resource) {
    this.#registry = registry;
    this.#resource = resource;
  }

  async collect(): Promise<CollectionResult> {
    const times = { startTime: this.#startTime, endTime: hrTime(Date.now()) };
    // A metric without points is left out: the protocol takes it for a mistake.
    const metrics = this.#registry
      .collect()
      .filter(({ points }) => points.length > 0)
      .map((metric) => metricData(metric, times));
    return {
      resourceMetrics: {
        resource: this.#resource,
        scopeMetrics: [{ scope: { name: "gatehouse" }, metrics }],
      },
      errors: [],
    };
  }
}

type Times = Pick<DataPoint<number>, "startTime" | "endTime">;

function metricData({ definition, points }: CollectedMetric, times: Times): MetricData {
  const { name, kind, unit, describe: description, bounds = [] } = definition;
  const common = {
    descriptor: { name, description, unit, valueType: valueTypeOf(definition) },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  const numbers = (): DataPoint<number>[] =>
    points.flatMap(({ labels, value }) =>
      typeof value === "number" ? [{ ...times, attributes: labels, value }] : [],
    );
  switch (kind) {
    case "counter":
    case "updown":
      return {
        ...common,
        dataPointType: DataPointType.SUM,
        isMonotonic: kind === "counter",
        dataPoints: numbers(),
      };
    case "gauge":
      return { ...common, dataPointType: DataPointType.GAUGE, dataPoints: numbers() };
    case "histogram":
      return {
        ...common,
        dataPointType: DataPointType.HISTOGRAM,
        dataPoints: points.flatMap(({ labels, value }) =>
          typeof value === "number"
            ? []
            : [{ ...times, attributes: labels, value: histogram(value, bounds) }],
        ),
      };
  }
}

/** Seconds have fractions; octets and things that are counted have none. */
function valueTypeOf({ unit }: MetricDefinition): ValueType {
  return unit === "s" || unit === "1" ? ValueType.DOUBLE : ValueType.INT;
}

function histogram({ counts, sum, count }: HistogramValue, bounds: readonly number[]): Histogram {
  return { buckets: { boundaries: [...bounds], counts: [...counts] }, sum, count };
}

function hrTime(unixMs: number): HrTime {
  const seconds = Math.trunc(unixMs / 1000);
  return [seconds, Math.trunc((unixMs - seconds * 1000) * 1e6)];
}
