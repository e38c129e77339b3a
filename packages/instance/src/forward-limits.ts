import { integerOption } from "@gatehouse/shared/read-config";

/** Options of the forwarder, for the instance's environment. */
export const FORWARD_OPTIONS = {
  maxBodyBytes: integerOption({
    env: "GATEHOUSE_MAX_BODY_BYTES",
    describe:
      "Largest request body in bytes, more is answered 413; 0 for no limit, since bodies are streamed and cost no memory",
    min: 0,
    max: 1_000_000_000_000,
    fallback: 0,
  }),
  bodyIdleTimeoutMs: integerOption({
    env: "GATEHOUSE_BODY_IDLE_TIMEOUT_MS",
    describe:
      "Milliseconds a request body may pause before the upstream has begun its answer (408 afterwards); 0 for no limit.",
    min: 0,
    max: 86_400_000,
    fallback: 60_000,
  }),
  upstreamConnectTimeoutMs: integerOption({
    env: "GATEHOUSE_UPSTREAM_CONNECT_TIMEOUT_MS",
    describe: "Milliseconds a connection to the upstream may take, TLS included",
    min: 100,
    max: 120_000,
    fallback: 10_000,
  }),
  upstreamHeadersTimeoutMs: integerOption({
    env: "GATEHOUSE_UPSTREAM_HEADERS_TIMEOUT_MS",
    describe:
      "Milliseconds an upstream may take to begin its answer (a tool call can be long); 0 for no limit",
    min: 0,
    max: 86_400_000,
    fallback: 3_600_000,
  }),
  maxUpstreamConnections: integerOption({
    env: "GATEHOUSE_UPSTREAM_MAX_CONNECTIONS",
    describe:
      "Connections to the upstream at once; every open stream holds one, and beyond it requests are answered 503",
    min: 1,
    max: 100_000,
    fallback: 8_000,
  }),
} as const;

/** Bounds of one forwarder. Bytes and milliseconds as in the names; 0 means none where {@link FORWARD_OPTIONS} says so. */
export interface ForwardLimits {
  readonly maxBodyBytes: number;
  readonly bodyIdleTimeoutMs: number;
  readonly upstreamConnectTimeoutMs: number;
  readonly upstreamHeadersTimeoutMs: number;
  readonly maxUpstreamConnections: number;
}

/** The defaults of {@link FORWARD_OPTIONS}. */
export const DEFAULT_LIMITS: ForwardLimits = {
  maxBodyBytes: Number(FORWARD_OPTIONS.maxBodyBytes.fallback),
  bodyIdleTimeoutMs: Number(FORWARD_OPTIONS.bodyIdleTimeoutMs.fallback),
  upstreamConnectTimeoutMs: Number(FORWARD_OPTIONS.upstreamConnectTimeoutMs.fallback),
  upstreamHeadersTimeoutMs: Number(FORWARD_OPTIONS.upstreamHeadersTimeoutMs.fallback),
  maxUpstreamConnections: Number(FORWARD_OPTIONS.maxUpstreamConnections.fallback),
};
