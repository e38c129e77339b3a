import { integerOption, optional, splitList, textOption, type ConfigOf, type Option } from "./read-config.ts";

/** OpenTelemetry's own variables, so that what already serves other programs on the machine serves these processes as well. */
export const telemetryOptions = {
  otlpEndpoint: urlOption(
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "Base URL of an OTLP collector (http/protobuf), such as http://127.0.0.1:4318; metrics go to v1/metrics below it. Not set: off.",
  ),
  otlpMetricsEndpoint: urlOption(
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "URL that metrics are sent to, as it stands; instead of OTEL_EXPORTER_OTLP_ENDPOINT.",
  ),
  otlpHeaders: textOption({
    env: "OTEL_EXPORTER_OTLP_HEADERS",
    describe: "Fields sent with each export, for collectors that ask who sends.",
    expected: "name=value pairs, comma separated, values percent-encoded",
    fallback: "",
    secret: true,
    parse: parsePairs,
  }),
  metricExportIntervalMs: integerOption({
    env: "OTEL_METRIC_EXPORT_INTERVAL",
    describe: "Milliseconds between two exports to the collector.",
    min: 100,
    max: 3_600_000,
    fallback: 60_000,
  }),
  serviceName: optional(
    textOption({
      env: "OTEL_SERVICE_NAME",
      describe:
        "Name of the service, in the collector and in target_info. Not set: gatehouse-dispatcher or gatehouse-instance.",
      expected: "a name",
      parse: (text) => text,
    }),
  ),
  resourceAttributes: textOption({
    env: "OTEL_RESOURCE_ATTRIBUTES",
    describe: "Further attributes of this process, such as deployment.environment.name=production.",
    expected: "name=value pairs, comma separated, values percent-encoded",
    fallback: "",
    parse: parsePairs,
  }),
  otelSdkDisabled: textOption({
    env: "OTEL_SDK_DISABLED",
    describe: "`true` sends nothing to any collector, whatever else is set. /metrics is not touched by it.",
    expected: "true or false",
    fallback: "false",
    // The specification knows no case here.
    parse: (text) => ({ true: true, false: false })[text.toLowerCase()],
  }),
};

export type TelemetryConfig = ConfigOf<typeof telemetryOptions>;

/** Returns where metrics are pushed to; undefined when nobody asked for it. */
export function otlpMetricsUrl(config: TelemetryConfig): string | undefined {
  if (config.otelSdkDisabled) return undefined;
  if (config.otlpMetricsEndpoint !== undefined) return config.otlpMetricsEndpoint;
  // The specification: below the base, with or without a slash at its end.
  return config.otlpEndpoint === undefined
    ? undefined
    : `${config.otlpEndpoint.replace(/\/+$/, "")}/v1/metrics`;
}

function urlOption(env: string, describe: string): Option<string | undefined> {
  return optional(
    textOption({
      env,
      describe,
      expected: "an http or https URL",
      parse: (text) => (/^https?:$/.test(URL.parse(text)?.protocol ?? "") ? text : undefined),
    }),
  );
}

/** The form of W3C Baggage, which the specification takes for both of its lists. */
function parsePairs(text: string): Readonly<Record<string, string>> | undefined {
  const pairs: [string, string][] = [];
  for (const part of splitList(text)) {
    const [, name, value] = /^([^=\s]+)\s*=\s*(.*)$/.exec(part) ?? [];
    if (name === undefined || value === undefined) return undefined;
    try {
      pairs.push([name, decodeURIComponent(value)]);
    } catch {
      return undefined; // a percent sign that is no escape
    }
  }
  return Object.fromEntries(pairs);
}
