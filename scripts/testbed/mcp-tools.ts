import { setTimeout as delay } from "node:timers/promises";
import { McpServer, type ServerContext } from "@modelcontextprotocol/server";
import * as z from "zod";

/** What a gateway in front of the server sets, or must have taken away. */
const GATEWAY_HEADERS =
  /^(x-auth-.*|x-forwarded-.*|x-request-id|x-real-ip|forwarded|traceparent|host|authorization|cookie)$/;

/**
 * An MCP server called `name` with four tools: `echo`, `whoami` (the headers this server saw), `get_weather` (a small
 * schema, no network) and `count` (streams its progress). Each session or stateless request gets a server of its own.
 */
export function mcpServer(name: string): McpServer {
  const server = new McpServer({ name, version: "1.0.0" });
  server.registerTool(
    "echo",
    { description: "Returns its argument", inputSchema: z.object({ message: z.string() }) },
    ({ message }) => text(message),
  );
  server.registerTool(
    "whoami",
    { description: "Returns what this server was told about the caller" },
    (context) => text(JSON.stringify({ server: name, headers: gatewayHeaders(context) }, null, 2)),
  );
  server.registerTool(
    "get_weather",
    {
      description: "Returns a weather report that never changes",
      inputSchema: z.object({
        city: z.string().min(1),
        unit: z.enum(["celsius", "fahrenheit"]).default("celsius"),
      }),
      outputSchema: z.object({ city: z.string(), temperature: z.number(), sky: z.string() }),
    },
    ({ city, unit }) => {
      const report = { city, temperature: unit === "celsius" ? 21 : 70, sky: "clear" };
      return { ...text(JSON.stringify(report)), structuredContent: report };
    },
  );
  server.registerTool(
    "count",
    {
      description: "Counts up, one progress notification a step",
      inputSchema: z.object({
        to: z.number().int().min(1).max(10_000),
        pause_ms: z.number().int().min(0).max(60_000).default(0),
      }),
    },
    async ({ to, pause_ms: pauseMs }, context) => await count(to, pauseMs, context),
  );
  return server;
}

function text(value: string): { content: { type: "text"; text: string }[] } {
  return { content: [{ type: "text", text: value }] };
}

function gatewayHeaders(context: ServerContext): Record<string, string> {
  const headers = context.http?.req?.headers ?? new Headers();
  return Object.fromEntries([...headers].filter(([header]) => GATEWAY_HEADERS.test(header)));
}

async function count(to: number, pauseMs: number, context: ServerContext): Promise<ReturnType<typeof text>> {
  const { notify, signal } = context.mcpReq;
  const progressToken = context.mcpReq._meta?.progressToken;
  for (let progress = 1; progress <= to; progress++) {
    if (pauseMs > 0) await delay(pauseMs, undefined, { signal });
    signal.throwIfAborted();
    if (progressToken !== undefined)
      await notify({ method: "notifications/progress", params: { progressToken, progress, total: to } });
  }
  return text(`counted to ${to}`);
}
