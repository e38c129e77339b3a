import type { Chart } from "./chart.ts";
import type { Headers } from "./mcp-call.ts";

/** Ends a session that an upstream began for a call which only wanted to see its answer (MCP 2025-11-25, Session Management 5). */
export async function dropSession(chart: Chart, sessionId: unknown, headers: Headers = {}): Promise<void> {
  if (typeof sessionId !== "string") return;
  const ended = { ...headers, "mcp-session-id": sessionId, "mcp-protocol-version": "2025-11-25" };
  await chart.wire.call(chart.endpoint, { method: "DELETE", headers: ended });
}
