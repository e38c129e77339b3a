import { randomFillSync } from "node:crypto";

/** `version-traceid-parentid-flags` (W3C Trace Context section 3.2.2); a version above 00 may carry more behind it. */
const TRACEPARENT = /^(?!ff)([0-9a-f]{2})-((?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?$/;

/** Random octets are drawn in bulk: one system call serves 170 new traces. */
const POOL = Buffer.allocUnsafe(4096);
let used = POOL.length;

/** What goes on in `traceparent`. */
export interface NextTrace {
  /** The field's value. */
  readonly value: string;
  /** The trace it names: 32 hex digits. */
  readonly traceId: string;
  /** False for a trace that begins here: `tracestate` must not be sent (section 3.3.1.4). */
  readonly isContinued: boolean;
}

/**
 * Returns the `traceparent` to send: the trace of a valid inbound one is continued under a new parent id (section 4.3), with the
 * sampled flag kept; anything else begins a new trace.
 */
export function nextTraceparent(inbound: string | undefined): NextTrace {
  const parent = read(inbound);
  if (parent === undefined) {
    const traceId = randomHex(16);
    return { value: `00-${traceId}-${randomHex(8)}-00`, traceId, isContinued: false };
  }
  const { traceId, flags } = parent;
  // Only the sampled bit has a meaning in version 00, and 00 is what we send.
  const sampled = Number.parseInt(flags, 16) % 2 === 1 ? "01" : "00";
  return { value: `00-${traceId}-${randomHex(8)}-${sampled}`, traceId, isContinued: true };
}

/** Returns the trace that a peer says its request belongs to; undefined when what it says is no `traceparent`. */
export function inboundTraceId(inbound: unknown): string | undefined {
  return typeof inbound === "string" ? read(inbound)?.traceId : undefined;
}

function read(text: string | undefined): { readonly traceId: string; readonly flags: string } | undefined {
  const match = text === undefined ? null : TRACEPARENT.exec(text);
  const [, version, traceId, flags = "00", rest] = match ?? [];
  if (traceId === undefined || (version === "00" && rest !== undefined)) return undefined;
  return { traceId, flags };
}

function randomHex(octets: number): string {
  if (used + octets > POOL.length) {
    randomFillSync(POOL);
    used = 0;
  }
  used += octets;
  return POOL.toString("hex", used - octets, used);
}
