import { createServer, type IncomingMessage, type OutgoingHttpHeaders, type ServerResponse } from "node:http";
import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { Agent, request as httpsRequest } from "node:https";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";

/** Which gateway stands behind the shim, and what the shim adds. */
export interface ShimOptions {
  readonly hostname: string;
  /** The dispatcher's port on 127.0.0.1; part of the public name, as on any unusual port. */
  readonly port: number;
  readonly caPem: string;
  readonly protocol: "http/1.1" | "h2";
  /** Sent as `Authorization` where a request carries none. */
  readonly authorization?: string;
}

export interface LocalhostShim {
  /** Base URL on `http://localhost`. */
  readonly url: string;
  close(): Promise<void>;
}

/** RFC 9110 section 7.6.1, plus what only frames a message on one connection. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Field names and values as received, by turns: case, order and duplicates kept. */
type RawHeaders = readonly string[];

/**
 * Opens plain HTTP on localhost in front of a TLS gateway. The conformance runner can only speak to a localhost server: it
 * sends no token, reaches parts of its own checks through `node:http`, and would use its forged Host as the TLS server name.
 * A Host or Origin of the shim becomes the gateway's; any other passes as it is, for refusing it is the gateway's business.
 */
export async function openLocalhostShim(options: ShimOptions): Promise<LocalhostShim> {
  const gateway = options.protocol === "h2" ? new Http2Gateway(options) : new Http1Gateway(options);
  const server = createServer((request, response) => {
    const headers = toGatewayHeaders(request.rawHeaders, options);
    gateway.exchange(request, response, headers).catch((error: unknown) => {
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end(`${String(error)}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://localhost:${(server.address() as AddressInfo).port}`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      gateway.close();
      await closed;
    },
  };
}

interface Gateway {
  /** Carries one request to the gateway and its answer back, both streaming; rejects when either side fails. */
  exchange(request: IncomingMessage, response: ServerResponse, headers: RawHeaders): Promise<void>;
  close(): void;
}

class Http1Gateway implements Gateway {
  readonly #agent = new Agent({ keepAlive: true });
  readonly #options: ShimOptions;

  constructor(options: ShimOptions) {
    this.#options = options;
  }

  async exchange(request: IncomingMessage, response: ServerResponse, headers: RawHeaders): Promise<void> {
    const { hostname, port, caPem } = this.#options;
    const outgoing = httpsRequest({
      agent: this.#agent,
      host: "127.0.0.1",
      port,
      servername: hostname,
      ca: caPem,
      method: request.method,
      path: request.url,
      // A flat list is sent as it stands; @types/node knows it for responses only.
      headers: [...headers, ...framing(request)] as unknown as OutgoingHttpHeaders,
    });
    response.once("close", () => outgoing.destroy());
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve).once("error", reject);
    });
    request.pipe(outgoing);
    const answer = await answered;
    response.writeHead(answer.statusCode ?? 502, answer.statusMessage, [...endToEnd(answer.rawHeaders)]);
    response.flushHeaders();
    await pipeline(answer, response);
  }

  close(): void {
    this.#agent.destroy();
  }
}

class Http2Gateway implements Gateway {
  readonly #options: ShimOptions;
  #session: ClientHttp2Session | undefined;

  constructor(options: ShimOptions) {
    this.#options = options;
  }

  async exchange(request: IncomingMessage, response: ServerResponse, headers: RawHeaders): Promise<void> {
    const outgoing = this.#connected().request(toHttp2Headers(request, headers), {
      endStream: !hasBody(request),
    });
    // Not `close(NGHTTP2_CANCEL)`: when the pipeline below destroys the stream in the same turn, Node never sends that frame.
    response.once("close", () => outgoing.destroy());
    const answered = new Promise<IncomingHttpHeaders & { ":status"?: number }>((resolve, reject) => {
      outgoing.once("response", resolve).once("error", reject);
      outgoing.once("close", () => reject(new Error("the gateway closed the stream")));
    });
    if (hasBody(request)) request.pipe(outgoing);
    const { ":status": status, ...rest } = await answered;
    response.writeHead(status ?? 502, rest);
    response.flushHeaders();
    await pipeline(outgoing, response);
  }

  close(): void {
    this.#session?.destroy();
  }

  #connected(): ClientHttp2Session {
    if (this.#session && !this.#session.closed && !this.#session.destroyed) return this.#session;
    const { hostname, port, caPem } = this.#options;
    // The URL carries the server name; the address is chosen here, since `*.localhost` resolves on some systems only.
    this.#session = connectHttp2(`https://${hostname}:${port}`, {
      ca: caPem,
      servername: hostname,
      host: "127.0.0.1",
    });
    // Every open stream fails with the session and reports it; what is left is an idle session that ended.
    this.#session.on("error", () => undefined);
    return this.#session;
  }
}

function toGatewayHeaders(raw: RawHeaders, { hostname, port, authorization }: ShimOptions): RawHeaders {
  const headers: string[] = [];
  let hasAuthorization = false;
  for (const [name, value] of endToEndPairs(raw)) {
    const lower = name.toLowerCase();
    hasAuthorization ||= lower === "authorization";
    if (lower === "host" && isLocalhost(value)) headers.push(name, `${hostname}:${port}`);
    else if (lower === "origin" && isLocalhost(value.replace(/^http:\/\//, "")))
      headers.push(name, `https://${hostname}:${port}`);
    else headers.push(name, value);
  }
  if (authorization !== undefined && !hasAuthorization) headers.push("Authorization", authorization);
  return headers;
}

function isLocalhost(authority: string): boolean {
  return /^(?:localhost|127\.0\.0\.1|\[::1\])(?::\d+)?$/.test(authority);
}

function toHttp2Headers(request: IncomingMessage, raw: RawHeaders): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = {
    ":method": request.method ?? "GET",
    ":path": request.url ?? "/",
    ":scheme": "https",
  };
  for (const [name, value] of endToEndPairs(raw)) {
    const lower = name.toLowerCase();
    const key = lower === "host" ? ":authority" : lower;
    const known = headers[key];
    headers[key] = known === undefined ? value : [known, value].flat();
  }
  return headers;
}

function endToEnd(raw: RawHeaders): RawHeaders {
  return [...endToEndPairs(raw)].flat();
}

function* endToEndPairs(raw: RawHeaders): Generator<[string, string]> {
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const [name = "", value = ""] = raw.slice(i, i + 2);
    if (!HOP_BY_HOP.has(name.toLowerCase())) yield [name, value];
  }
}

function hasBody(request: IncomingMessage): boolean {
  return (
    request.headers["transfer-encoding"] !== undefined || request.headers["content-length"] !== undefined
  );
}

/** A chunked body stays chunked: its framing was dropped with the other hop-by-hop fields. */
function framing(request: IncomingMessage): RawHeaders {
  return request.headers["transfer-encoding"] === undefined ? [] : ["Transfer-Encoding", "chunked"];
}
