import type { LogRecord } from "@gatehouse/shared/log-record";
import type { ConnectionRefusal } from "./refusal.ts";
import { endedBy, type Ending, type Phase } from "./termination.ts";

/** What a connection knows of itself when it ends; what it never learned is undefined. */
export interface ConnectionFacts {
  readonly id: string;
  readonly ip: string;
  /** The server name, validated; never the bytes of a refused one. */
  readonly serverName: string | undefined;
  readonly upstream: string | undefined;
  readonly phase: Phase;
  readonly durationMs: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/**
 * The record of a connection that was not refused: `connection ended: peer closed in splice, 6.4 s, in 2,113 B, out 40,960 B`.
 * `cause` is given for an internal error only, and makes the record one.
 */
export function endRecord(ending: Ending, facts: ConnectionFacts, cause?: Error): LogRecord {
  const by = endedBy(ending);
  // Health checks and scanners come and go by the thousand without a byte; a counter has them.
  const level = cause !== undefined ? "error" : by === "peer" && facts.bytesIn === 0 ? "debug" : "info";
  const seconds = (facts.durationMs / 1000).toFixed(1);
  const bytes = `in ${grouped(facts.bytesIn)} B, out ${grouped(facts.bytesOut)} B`;
  const message = `connection ended: ${ending} in ${facts.phase}, ${seconds} s, ${bytes}`;
  return {
    ...common(facts),
    level,
    event: "connection_ended",
    message: cause === undefined ? message : `${message}: ${cause.message}`,
    ended_by: by,
    ...(by === "dispatcher" && { reason: ending.replaceAll(/[ -]/g, "_") }),
  };
}

/** The record of a refusal: `refused: no_route nobody-here.example (alert 112)`, then the problem where one is known. */
export function refusalRecord(refusal: ConnectionRefusal, answer: string, facts: ConnectionFacts): LogRecord {
  const name = facts.serverName === undefined ? "" : ` ${facts.serverName}`;
  const problem = refusal.message === "" ? "" : `: ${refusal.message}`;
  return {
    ...common(facts),
    // A browser that opens a connection ahead of need sends nothing either; no line for it, as for those that just leave.
    level: refusal.reason === "hello_timeout" && facts.bytesIn === 0 ? "debug" : "warn",
    event: "connection_refused",
    message: `refused: ${refusal.reason}${name} (${answer})${problem}`,
    reason: refusal.reason,
  };
}

function common(facts: ConnectionFacts) {
  return {
    time: Date.now(),
    component: "dispatcher",
    ip: facts.ip,
    conn: facts.id,
    phase: facts.phase,
    duration_ms: Math.round(facts.durationMs),
    bytes_in: facts.bytesIn,
    bytes_out: facts.bytesOut,
    ...(facts.serverName !== undefined && { hostname: facts.serverName }),
    ...(facts.upstream !== undefined && { upstream: facts.upstream }),
  } as const;
}

/** `1234567` as `1,234,567`. `Intl.NumberFormat` takes as long as the rest of the record. */
function grouped(count: number): string {
  if (count < 1000) return String(count);
  return `${grouped(Math.floor(count / 1000))},${String(count % 1000).padStart(3, "0")}`;
}
