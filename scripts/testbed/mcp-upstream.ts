import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import {
  createMcpHandler,
  isLegacyRequest,
  WebStandardStreamableHTTPServerTransport,
  type McpServer,
} from "@modelcontextprotocol/server";
import { localhostHostValidation, toNodeHandler } from "@modelcontextprotocol/node";
import { mcpServer } from "./mcp-tools.ts";

/** As the MCP servers behind the log this system was specified from. */
const PING_INTERVAL_MS = 15_000;

/** A running MCP server. */
export interface McpUpstream {
  /** `http://127.0.0.1:PORT`; the endpoint is `/mcp` below it. */
  readonly url: string;
  /** Ends every session and stream. */
  close(): Promise<void>;
}

/**
 * Starts a real MCP server (official SDK) on a free loopback port: `/mcp` serves the session-based revisions (2025) and the
 * stateless one (2026-07-28) side by side. Every event stream carries a comment `ping - TIME` each `pingIntervalMs`;
 * `GET /sse-ping` is a stream of nothing else. Like most servers on loopback it refuses a foreign Host.
 */
export async function startMcpUpstream(options: {
  readonly name: string;
  /** Milliseconds between pings, default 15,000. */
  readonly pingIntervalMs?: number;
  /** Default: any free port. */
  readonly port?: number;
}): Promise<McpUpstream> {
  const { name, pingIntervalMs = PING_INTERVAL_MS, port = 0 } = options;
  const endpoint = new McpEndpoint(name, pingIntervalMs);
  const mcp = toNodeHandler({ fetch: (request) => endpoint.answer(request) });
  const isOwnHost = localhostHostValidation();
  const server = createServer((request, response) => {
    if (!isOwnHost(request, response)) return;
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/mcp") void mcp(withTarget(request), response);
    else if (pathname === "/sse-ping") streamPings(request, response, pingIntervalMs);
    else response.writeHead(404, { "content-type": "text/plain" }).end("not found: MCP is at /mcp\n");
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the MCP server has no port");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: async () => {
      server.close();
      await endpoint.close();
      server.closeAllConnections();
    },
  };
}

/** Both generations of the protocol on one URL, told apart as the SDK itself does. */
class McpEndpoint {
  readonly #name: string;
  readonly #pingIntervalMs: number;
  readonly #sessions = new Map<string, WebStandardStreamableHTTPServerTransport>();
  readonly #stateless: ReturnType<typeof createMcpHandler>;

  constructor(name: string, pingIntervalMs: number) {
    this.#name = name;
    this.#pingIntervalMs = pingIntervalMs;
    this.#stateless = createMcpHandler(() => mcpServer(name), { legacy: "reject", keepAliveMs: 0 });
  }

  async answer(request: Request): Promise<Response> {
    const response = await this.#route(request);
    const isStream = response.headers.get("content-type")?.startsWith("text/event-stream") ?? false;
    if (!isStream || response.body === null) return response;
    return new Response(withPings(response.body, this.#pingIntervalMs), response);
  }

  async #route(request: Request): Promise<Response> {
    const sessionId = request.headers.get("mcp-session-id");
    if (sessionId !== null)
      return (await this.#sessions.get(sessionId)?.handleRequest(request)) ?? unknownSession();
    if (await isLegacyRequest(request)) return await this.#openSession(request);
    return await this.#stateless.fetch(request);
  }

  async #openSession(request: Request): Promise<Response> {
    const server: McpServer = mcpServer(this.#name);
    const transport = new WebStandardStreamableHTTPServerTransport({
      keepAliveMs: 0,
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => void this.#sessions.set(id, transport),
      onsessionclosed: (id) => void this.#sessions.delete(id),
    });
    await server.connect(transport);
    const response = await transport.handleRequest(request);
    if (transport.sessionId === undefined) await server.close(); // not an initialize request: refused above
    return response;
  }

  async close(): Promise<void> {
    await this.#stateless.close();
    for (const transport of this.#sessions.values()) await transport.close();
    this.#sessions.clear();
  }
}

function unknownSession(): Response {
  const error = { code: -32_001, message: "Session not found" };
  return Response.json({ jsonrpc: "2.0", error, id: null }, { status: 404 });
}

/** The two fields are optional in Node's type only because it also describes what clients receive. */
function withTarget(request: IncomingMessage): IncomingMessage & { method: string; url: string } {
  const { method = "GET", url = "/" } = request;
  return Object.assign(request, { method, url });
}

/** An SSE comment in the form and with the line ends of Python's sse-starlette, which is what the log shows (45 bytes). */
function ping(): string {
  const time = new Date().toISOString().replace("T", " ").replace("Z", "000+00:00");
  return `: ping - ${time}\r\n\r\n`;
}

/** The SDK writes whole events, so that a comment between two chunks is between two events. */
function withPings(body: ReadableStream<Uint8Array>, intervalMs: number): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const reader = body.getReader();
  let timer: NodeJS.Timeout;
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      timer = setInterval(() => controller.enqueue(encoder.encode(ping())), intervalMs);
    },
    pull: async (controller) => {
      try {
        const { done, value } = await reader.read();
        if (!done) return controller.enqueue(value);
        clearInterval(timer);
        controller.close();
      } catch (error) {
        clearInterval(timer); // nothing may be added to a stream that failed
        throw error;
      }
    },
    cancel: async (reason) => {
      clearInterval(timer);
      await reader.cancel(reason);
    },
  });
}

function streamPings(request: IncomingMessage, response: ServerResponse, intervalMs: number): void {
  if (request.method !== "GET") {
    response.writeHead(405, { allow: "GET" }).end();
    return;
  }
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  response.write(ping());
  const timer = setInterval(() => response.write(ping()), intervalMs);
  response.on("close", () => clearInterval(timer));
}
