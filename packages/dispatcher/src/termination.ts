/** The steps of a connection's life, in order. */
export type Phase = "proxy_header" | "hello" | "route" | "dial" | "splice";

/**
 * Who ended a connection and how (as HAProxy's termination states, in words). `closed`: by a FIN; `aborted`: by a reset, or an
 * error that is as good as one; the rest is the dispatcher's own doing.
 */
export const ENDINGS = [
  "peer closed",
  "peer aborted",
  "target closed",
  "target aborted",
  "idle timeout",
  "half-close timeout",
  "drain deadline",
  "internal error",
] as const;
export type Ending = (typeof ENDINGS)[number];

/** Returns the `ended_by` field of the record. */
export function endedBy(ending: Ending): "peer" | "target" | "dispatcher" {
  if (ending.startsWith("peer")) return "peer";
  return ending.startsWith("target") ? "target" : "dispatcher";
}
