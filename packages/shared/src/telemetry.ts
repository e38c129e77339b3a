import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { AdminAnswer } from "./admin-server.ts";
import type { MetricCatalog } from "./metric-definition.ts";
import { MetricRegistry } from "./metrics.ts";
import type { OtlpExport } from "./otlp-export.ts";
import { PROCESS_METRICS, registerProcessMetrics } from "./process-metrics.ts";
import { PROMETHEUS_CONTENT_TYPE, prometheusText } from "./prometheus-text.ts";
import type { RecordWriter } from "./record-log.ts";
import { RECORD_METRICS, registerRecordMetrics } from "./record-metrics.ts";
import { otlpMetricsUrl, type TelemetryConfig } from "./telemetry-options.ts";

/** Milliseconds that the last export has, while a process stops. */
const LAST_EXPORT_MS = 2000;

const EXPORTS = {
  name: "gatehouse.otlp.exports",
  kind: "counter",
  unit: "{export}",
  describe: "Exports to the OTLP collector; failed ones are repeated by the next, which has the sums.",
  labels: ["result"],
} as const;

/** What every process exports, whatever it is. */
export const COMMON_METRICS: MetricCatalog = { ...RECORD_METRICS, exports: EXPORTS, ...PROCESS_METRICS };

export interface TelemetryOptions {
  readonly config: TelemetryConfig;
  readonly log: Pick<RecordWriter, "lanes">;
  /** `service.name`, unless the environment has another. */
  readonly service: "gatehouse-dispatcher" | "gatehouse-instance";
  /** Further attributes of the resource. */
  readonly attributes?: Readonly<Record<string, string>>;
}

/** The metrics of one process and the two ways they leave it: asked for by a scraper, or pushed to a collector. */
export class Telemetry {
  /** Where the process registers what it counts. */
  readonly registry: MetricRegistry = new MetricRegistry();
  readonly #config: TelemetryConfig;
  readonly #resource: Readonly<Record<string, string>>;
  readonly #exports = this.registry.counters(EXPORTS).expect(["ok", "failed"]);
  #otlp: OtlpExport | undefined;

  constructor({ config, log, service, attributes }: TelemetryOptions) {
    this.#config = config;
    this.#resource = {
      "service.name": service,
      "service.version": ownVersion(),
      "service.instance.id": randomUUID(),
      ...attributes,
      ...config.resourceAttributes,
      ...(config.serviceName !== undefined && { "service.name": config.serviceName }),
    };
    registerRecordMetrics(this.registry, log);
    registerProcessMetrics(this.registry);
  }

  /** Begins to push, if a collector is configured. Whether it is there makes no difference: failures are counted, nothing else. */
  async start(): Promise<void> {
    const url = otlpMetricsUrl(this.#config);
    if (url === undefined) return;
    // Some 25 MB and 100 ms that a process without a collector does not pay.
    const { startOtlpExport } = await import("./otlp-export.ts");
    this.#otlp = startOtlpExport({
      url,
      headers: this.#config.otlpHeaders,
      intervalMs: this.#config.metricExportIntervalMs,
      registry: this.registry,
      resource: this.#resource,
      onExported: (isOk) => this.#exports.of(isOk ? "ok" : "failed").add(),
    });
  }

  /** For `/metrics`. */
  page(): AdminAnswer {
    return {
      status: 200,
      contentType: PROMETHEUS_CONTENT_TYPE,
      body: prometheusText(this.registry.collect(), this.#resource),
    };
  }

  /** Pushes the last figures, within 2 s. Never rejects. */
  async close(): Promise<void> {
    await this.#otlp?.close(LAST_EXPORT_MS);
  }
}

/** All packages have one version. */
function ownVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(import.meta.dirname, "../package.json"), "utf8"));
  return (manifest as { readonly version: string }).version;
}
