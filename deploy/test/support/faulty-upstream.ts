import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

const IDLE_STREAM_MS = 200;
const HOUR_MS = 3_600_000;

type Behaviour = (request: IncomingMessage, response: ServerResponse, body: string) => void;

/** Each first part of the path is an upstream with a fault of its own: `target_url` is `URL/html`, `URL/idle`, … */
const BEHAVIOURS: Readonly<Record<string, Behaviour>> = {
  html: (_request, response) =>
    void response.writeHead(200, { "content-type": "text/html" }).end("<h1>Hello</h1>"),
  broken: (_request, response) => void response.writeHead(500, { "content-type": "text/plain" }).end("oops"),
  "own-auth": (_request, response) => void response.writeHead(401, { "www-authenticate": "Basic" }).end(),
  // Says its head with the first event, and there is none.
  buffering: (request, response, body) => {
    if (request.method !== "GET") answerMcp(request, response, body);
  },
  idle: (request, response, body) => {
    if (request.method !== "GET") return answerMcp(request, response, body);
    response.writeHead(200, { "content-type": "text/event-stream" }).flushHeaders();
    setTimeout(() => response.destroy(), IDLE_STREAM_MS);
  },
  late: (request, response, body) => {
    response.setHeader("date", new Date(Date.now() - HOUR_MS).toUTCString());
    answerMcp(request, response, body);
  },
  "forgets-nothing": (request, response, body) => answerMcp(request, response, body),
};

/** MCP servers that are wrong in one way each. */
export class FaultyUpstream {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<FaultyUpstream> {
    const server = createServer((request, response) => void serve(request, response));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FaultyUpstream(server);
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(behaviour: string): string {
    return `http://127.0.0.1:${this.port}/${behaviour}`;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let body = "";
  for await (const chunk of request.setEncoding("utf8")) body += String(chunk);
  const [, name = "", path] = request.url?.split("/") ?? [];
  const behaviour = path === "mcp" ? BEHAVIOURS[name] : undefined;
  if (behaviour) behaviour(request, response, body);
  else response.writeHead(404).end();
}

/** The least of a session-based server; it takes any session id for a good one. */
function answerMcp(request: IncomingMessage, response: ServerResponse, body: string): void {
  if (request.method === "GET") return void response.writeHead(405).end();
  if (request.method === "DELETE") return void response.writeHead(200).end();
  const { id, method } = JSON.parse(body) as { id?: number; method: string };
  if (id === undefined) return void response.writeHead(202).end();
  const results: Readonly<Record<string, object>> = {
    initialize: {
      protocolVersion: "2025-11-25",
      capabilities: {},
      serverInfo: { name: "faulty", version: "1" },
    },
    "tools/list": { tools: [] },
  };
  const isStateless = request.headers["mcp-protocol-version"] === "2026-07-28";
  const isKnown = !isStateless && results[method] !== undefined;
  const outcome = isKnown
    ? { result: results[method] }
    : { error: { code: -32_600, message: "unsupported" } };
  response
    .writeHead(isKnown ? 200 : 400, { "content-type": "application/json", "mcp-session-id": "one" })
    .end(JSON.stringify({ jsonrpc: "2.0", id, ...outcome }));
}
