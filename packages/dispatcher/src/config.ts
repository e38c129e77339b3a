import {
  adminListenOption,
  logLevelOption,
  publicPortOption,
  recordOptions,
  redisUrlOption,
  stateDirOption,
} from "@gatehouse/shared/common-options";
import { parseListenAddress, type ListenAddress } from "@gatehouse/shared/listen-address";
import {
  addressListOption,
  integerOption,
  optional,
  splitList,
  textOption,
  type ConfigOf,
} from "@gatehouse/shared/read-config";
import { telemetryOptions } from "@gatehouse/shared/telemetry-options";

const DAY_SECONDS = 86_400;

/** Every option of the dispatcher. The README table and `deploy/env` are printed from this. */
export const dispatcherOptions = {
  listen: textOption({
    env: "GATEHOUSE_DISPATCHER_LISTEN",
    describe:
      "Addresses to accept peers on, comma separated. Inherited listening descriptors (LISTEN_FDS) take their place.",
    expected: "addresses with ports such as 0.0.0.0:443, [::]:443 or 8443 (loopback), comma separated",
    fallback: "0.0.0.0:443,[::]:443",
    parse: parseListenList,
  }),
  httpListen: optional(
    textOption({
      env: "GATEHOUSE_DISPATCHER_HTTP_LISTEN",
      describe:
        "Addresses of a plain HTTP port that answers HTTP-01 challenges and sends routed names to https, comma separated. Inherited descriptors named `http` take their place. Not set: off.",
      expected: "addresses with ports such as 0.0.0.0:80, [::]:80 or 8080 (loopback), comma separated",
      parse: parseListenList,
    }),
  ),
  publicPort: publicPortOption,
  redisUrl: redisUrlOption,
  stateDir: stateDirOption(
    "Directory for the route snapshot that serves a restart while Redis is away. Without it there is no snapshot.",
  ),
  proxyFrom: addressListOption({
    env: "GATEHOUSE_PROXY_FROM",
    describe:
      "Senders that put a PROXY header in front of each connection (a balancer): from these it is mandatory, from all others it is never looked for.",
    fallback: "",
  }),
  helloTimeoutMs: integerOption({
    env: "GATEHOUSE_HELLO_TIMEOUT_MS",
    describe:
      "Milliseconds from accept to the end of the ClientHello (and PROXY header), however the bytes trickle in.",
    min: 100,
    max: 60_000,
    fallback: 5000,
  }),
  maxHelloBytes: integerOption({
    env: "GATEHOUSE_MAX_HELLO_BYTES",
    describe: "Longest ClientHello in octets, record headers included.",
    min: 1024,
    max: 65_536,
    fallback: 16_384,
  }),
  dialTimeoutMs: integerOption({
    env: "GATEHOUSE_DIAL_TIMEOUT_MS",
    describe: "Milliseconds for reaching a target, retries and failover included.",
    min: 100,
    max: 60_000,
    fallback: 2000,
  }),
  idleTimeoutSeconds: integerOption({
    env: "GATEHOUSE_IDLE_TIMEOUT_SECONDS",
    describe: "Seconds without a byte either way before a connection is aborted. 0: never.",
    min: 0,
    max: 30 * DAY_SECONDS,
    fallback: 6 * 3600,
  }),
  halfCloseTimeoutSeconds: integerOption({
    env: "GATEHOUSE_HALF_CLOSE_TIMEOUT_SECONDS",
    describe: "Seconds without a byte before a connection is aborted of which one direction has ended.",
    min: 1,
    max: DAY_SECONDS,
    fallback: 300,
  }),
  keepAliveSeconds: integerOption({
    env: "GATEHOUSE_KEEPALIVE_SECONDS",
    describe: "Seconds of quiet before TCP keepalive probes start, towards peers and targets.",
    min: 1,
    max: 7200,
    fallback: 60,
  }),
  maxConnections: optional(
    integerOption({
      env: "GATEHOUSE_MAX_CONNECTIONS",
      describe:
        "Connections open at once. One more takes the place of that which has owed its ClientHello longest, or is reset. Not set: what the process's descriptor limit allows, two per connection.",
      min: 1,
      max: 1_000_000,
      fallback: 1,
    }),
  ),
  maxConnectionsPerAddress: integerOption({
    env: "GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS",
    describe:
      "The same for one address (IPv6: one /64). Generous, because hosted clients share few addresses.",
    min: 1,
    max: 1_000_000,
    fallback: 4096,
  }),
  connectionsPerSecondPerAddress: integerOption({
    env: "GATEHOUSE_CONNECTIONS_PER_SECOND_PER_ADDRESS",
    describe:
      "New connections within a second from one address (IPv6: one /64), in the long run; more are reset on accept. After a rest as many at once as may be open, so that all clients behind an address can come back together.",
    min: 1,
    max: 1_000_000,
    fallback: 1000,
  }),
  drainSeconds: integerOption({
    env: "GATEHOUSE_DISPATCHER_DRAIN_SECONDS",
    describe: "Seconds that open connections may go on after TERM; then they are aborted.",
    min: 0,
    // A timer holds 24.8 days; a longer one would fire at once.
    max: 20 * DAY_SECONDS,
    fallback: DAY_SECONDS,
  }),
  adminListen: adminListenOption(
    "GATEHOUSE_DISPATCHER_ADMIN_LISTEN",
    "Address for /health and /metrics, such as 9101 (loopback) or unix:/path. Not set: off, so that two dispatchers on one machine don't collide.",
  ),
  logLevel: logLevelOption,
  ...recordOptions,
  ...telemetryOptions,
};

/** The options of one process, parsed and frozen. */
export type DispatcherConfig = ConfigOf<typeof dispatcherOptions>;

/** Peers come over TCP only: without an address there is nothing to write into the PROXY header or the record. */
function parseListenList(text: string): readonly ListenAddress[] | undefined {
  const addresses: ListenAddress[] = [];
  for (const part of splitList(text)) {
    const address = parseListenAddress(part);
    if (address?.kind !== "tcp") return undefined;
    addresses.push(address);
  }
  return addresses.length > 0 ? addresses : undefined;
}
