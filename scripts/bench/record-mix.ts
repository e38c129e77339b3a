import type { LogRecord } from "@gatehouse/shared/log-record";

/** The one connection of its kind, in the oldest records: the farthest that a question has to look. */
export const ANCIENT_CONNECTION = "c-01JD0000000000000000ANCIENT";

const START = Date.UTC(2025, 7, 1);
/** A month of traffic. */
const SPAN_MS = 30 * 86_400_000;

/** Returns a source of records as a busy installation makes them: the same ones at each run. Times rise over 30 days. */
export function recordMix(total: number): () => LogRecord {
  let made = 0;
  let seed = 12_345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const id = (prefix: string): string =>
    `${prefix}01JD${made.toString(32).toUpperCase().padStart(8, "0")}${random(2 ** 30)
      .toString(32)
      .toUpperCase()
      .padStart(14, "0")}`;
  let conn = ANCIENT_CONNECTION;
  return () => {
    made += 1;
    const isOld = made <= 3;
    if (!isOld && random(4) === 0) conn = id("c-");
    const time = START + Math.floor((made / total) * SPAN_MS);
    const common = { time, conn, ip: address(random), hostname: `host-${random(20)}.example.com` };
    const kind = random(10);
    if (kind < 2) return connectionEnded(common, random);
    const identity = kind < 8 ? identityOf(random(50)) : {};
    const request = { ...common, ...identity, req: id("req-"), method: "POST", path: "/mcp" };
    return kind === 2 ? streamChunk(request) : requestEnded(request, random);
  };
}

type Random = (below: number) => number;
type Common = Pick<LogRecord, "time" | "conn" | "ip" | "hostname">;

/** A few busy addresses, many that come now and then, some of them IPv6. */
function address(random: Random): string {
  const kind = random(100);
  if (kind < 60) return `192.0.2.${random(8)}`;
  if (kind < 90) return `198.51.${random(100)}.${random(200)}`;
  return `2001:db8:${random(4000).toString(16)}::${random(9)}`;
}

function identityOf(number: number): Partial<LogRecord> {
  return {
    user: `user-${number}`,
    uid: `github:${583_000 + number}`,
    scopes: ["user", "mcp"],
    client_id: `client_${String(number).padStart(22, "0")}`,
  };
}

function connectionEnded(common: Common, random: Random): LogRecord {
  const [bytesIn, bytesOut] = [random(100_000), random(1_000_000)];
  return {
    ...common,
    level: "info",
    component: "dispatcher",
    event: "connection_ended",
    message: `connection ended: peer closed in splice, ${random(90)}.4 s, in ${bytesIn} B, out ${bytesOut} B`,
    duration_ms: random(90_000),
    bytes_in: bytesIn,
    bytes_out: bytesOut,
    ended_by: "peer",
    phase: "splice",
    upstream: "127.0.0.1:13001",
  };
}

function streamChunk(request: Common & Partial<LogRecord>): LogRecord {
  return {
    ...request,
    level: "info",
    component: "proxy_handler",
    event: "stream_chunk",
    message: "SSE chunk 2: 126 bytes",
    upstream: "http://127.0.0.1:3001",
  };
}

function requestEnded(request: Common & Partial<LogRecord>, random: Random): LogRecord {
  const kind = random(1000);
  const status = kind < 2 ? 502 : kind < 30 ? 401 : 200;
  return {
    ...request,
    level: status === 502 ? "error" : status === 401 ? "warn" : "info",
    component: "proxy_handler",
    event: "request_ended",
    status,
    duration_ms: random(10_000) / 10 + (kind === 999 ? 9000 : 0),
    upstream_ms: random(1000) / 10,
    trace_id: random(2 ** 31)
      .toString(16)
      .padStart(32, "0"),
    mcp_method: "tools/call",
    mcp_tool: "get_weather",
    upstream: "http://127.0.0.1:3001",
    bytes_in: random(2000),
    bytes_out: random(20_000),
    ended_by: "upstream",
    ...(status === 401 ? { reason: "invalid_token: expired (RFC 6750 3.1)" } : {}),
  };
}
