import { DURATION_BOUNDS, type MetricCatalog } from "@gatehouse/shared/metric-definition";

/** What a dispatcher exports beside what every process does. `docs/metrics.md` is printed from this. */
export const DISPATCHER_METRICS = {
  accepted: {
    name: "gatehouse.dispatcher.connections.accepted",
    kind: "counter",
    unit: "{connection}",
    describe: "Connections accepted.",
  },
  active: {
    name: "gatehouse.dispatcher.connections.active",
    kind: "updown",
    unit: "{connection}",
    describe: "Connections open now.",
  },
  over: {
    name: "gatehouse.dispatcher.connections",
    kind: "counter",
    unit: "{connection}",
    describe:
      "Connections that are over: `ended`, with who ended them and how, or `refused`, with the reason of the record.",
    labels: ["outcome", "reason"],
  },
  silent: {
    name: "gatehouse.dispatcher.connections.silent",
    kind: "counter",
    unit: "{connection}",
    describe: "Those among them whose peer left without a byte: health checks and scanners.",
  },
  helloSize: {
    name: "gatehouse.dispatcher.hello.size",
    kind: "histogram",
    unit: "By",
    describe: "Size of the ClientHellos that were whole, record headers included.",
    // One segment, a post-quantum hello, one with a large ticket, the default limit.
    bounds: [256, 512, 1024, 1536, 2048, 4096, 8192, 16_384],
  },
  helloDuration: {
    name: "gatehouse.dispatcher.hello.duration",
    kind: "histogram",
    unit: "s",
    describe: "From accept to the whole ClientHello, an inbound PROXY header included.",
    bounds: DURATION_BOUNDS,
  },
  routeLookups: {
    name: "gatehouse.dispatcher.route.lookups",
    kind: "counter",
    unit: "{lookup}",
    describe:
      "Routes looked up, by answer (`route`, `none`, `bad`, `unknown`) and by where that came from: `memory` or `redis`.",
    labels: ["answer", "source"],
  },
  io: {
    name: "gatehouse.dispatcher.io",
    kind: "counter",
    unit: "By",
    describe:
      "Octets read from peers (`receive`) and written to them (`transmit`), those of open connections included.",
    labels: ["network.io.direction"],
  },
  dialDuration: {
    name: "gatehouse.dispatcher.dial.duration",
    kind: "histogram",
    unit: "s",
    describe: "The search for a target that answers, retries and failover included, by how it ended.",
    labels: ["result"],
    bounds: [0.0005, 0.001, ...DURATION_BOUNDS],
  },
  redisConnected: {
    name: "gatehouse.redis.connected",
    kind: "gauge",
    unit: "{connection}",
    describe: "1 while Redis vouches for the routes, 0 while they are served from memory alone.",
  },
} as const satisfies MetricCatalog;
