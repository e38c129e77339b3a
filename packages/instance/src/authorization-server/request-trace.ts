import type { LogRecord } from "@gatehouse/shared/log-record";
import { inboundTraceId } from "../trace-context.ts";
import type { HostContext } from "./endpoints.ts";

/** What ties a record of the authorization server to the request it came from. */
export type Trace = Pick<LogRecord, "ip" | "conn" | "req" | "trace_id">;

export function traceOf({ env: { context, incoming } }: HostContext): Trace {
  const traceId = inboundTraceId(incoming.headers["traceparent"]);
  return {
    ip: context.connection.addresses.source.ip,
    conn: context.connection.id,
    req: context.id,
    ...(traceId === undefined ? {} : { trace_id: traceId }),
  };
}
