import { DURATION_BOUNDS, type MetricCatalog } from "@gatehouse/shared/metric-definition";

/** Tool calls and streams run longer than what the conventions have in mind. */
const REQUEST_BOUNDS: readonly number[] = [...DURATION_BOUNDS, 30, 60, 300];

/** What an instance exports beside what every process does. `docs/metrics.md` is printed from this. */
export const INSTANCE_METRICS = {
  requestDuration: {
    name: "http.server.request.duration",
    kind: "histogram",
    unit: "s",
    describe:
      "Requests from peers, whole streams and WebSockets included; its count is the number of requests. 499: the peer left before an answer.",
    labels: ["http.request.method", "http.response.status_code"],
    bounds: REQUEST_BOUNDS,
  },
  activeRequests: {
    name: "http.server.active_requests",
    kind: "updown",
    unit: "{request}",
    describe: "Requests that run, event streams among them; upgraded connections are not.",
  },
  upstreamDuration: {
    name: "http.client.request.duration",
    kind: "histogram",
    unit: "s",
    describe:
      "From sending a request to the upstream to the head of its answer; requests without an answer are not in it.",
    labels: ["http.request.method", "http.response.status_code"],
    bounds: REQUEST_BOUNDS,
  },
  streams: {
    name: "gatehouse.streams.active",
    kind: "updown",
    unit: "{stream}",
    describe: "Streams open now: `sse` or `websocket`.",
    labels: ["type"],
  },
  connections: {
    name: "gatehouse.instance.connections.active",
    kind: "updown",
    unit: "{connection}",
    describe: "Connections open now, in whatever phase.",
  },
  connectionsRefused: {
    name: "gatehouse.instance.connections.refused",
    kind: "counter",
    unit: "{connection}",
    describe: "Connections cut off before TLS, by the reason of the record.",
    labels: ["reason"],
  },
  handshakeDuration: {
    name: "gatehouse.instance.tls.handshake.duration",
    kind: "histogram",
    unit: "s",
    describe:
      "TLS handshakes by how they ended; its count is their number. `certificate_refused`: the peer does not trust this host's certificate.",
    labels: ["result"],
    bounds: DURATION_BOUNDS,
  },
  tokenChecks: {
    name: "gatehouse.instance.token.checks",
    kind: "counter",
    unit: "{check}",
    describe:
      "Requests to a protected host by what came of their credentials: `accepted`, `missing`, `insufficient_scope`, or what is wrong with the token.",
    labels: ["result"],
  },
  oauthSteps: {
    name: "gatehouse.oauth.steps",
    kind: "counter",
    unit: "{step}",
    describe: "Records of the authorization server, by event (docs/architecture.md lists them).",
    labels: ["event"],
  },
  oauthLimited: {
    name: "gatehouse.oauth.limited",
    kind: "counter",
    unit: "{request}",
    describe: "Requests to the authorization server that were answered 429, by the reason of the record.",
    labels: ["reason"],
  },
  certificateNotAfter: {
    name: "gatehouse.certificate.not_after",
    kind: "gauge",
    unit: "s",
    describe:
      "When the certificate in force expires, in Unix time. A `stand-in` is self-signed, and refused by peers.",
    labels: ["source"],
  },
  redisConnected: {
    name: "gatehouse.redis.connected",
    kind: "gauge",
    unit: "{connection}",
    describe: "1 while host config and route are known to be current, 0 while the last known ones serve.",
  },
} as const satisfies MetricCatalog;
