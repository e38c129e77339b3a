import { once } from "node:events";
import { connect } from "node:net";
import { duplexPair } from "node:stream";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { request, type Agent, type RequestOptions } from "node:https";
import type { ClientRequest, IncomingMessage } from "node:http";
import type { Gatehouse } from "./gatehouse.ts";

/** What a test peer asks for. */
export interface PeerRequest {
  readonly hostname: string;
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly agent?: Agent;
  readonly body?: string;
  readonly createConnection?: RequestOptions["createConnection"];
  /** Ends the exchange, and its connection. */
  readonly signal?: AbortSignal;
}

export interface PeerResponse {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** Starts an HTTP/1.1 request through the dispatcher; the caller reads the response, or doesn't. */
export function startRequest(gatehouse: Gatehouse, asked: PeerRequest): ClientRequest {
  const { hostname, path, method = "GET", headers = {}, agent = false } = asked;
  const options: RequestOptions = {
    host: "127.0.0.1",
    port: gatehouse.port,
    servername: hostname,
    ca: gatehouse.caPem,
    path,
    method,
    headers: { host: `${hostname}:${gatehouse.port}`, ...headers },
    // Node asks an agent for the connection even when it was told how to make one.
    ...(asked.signal && { signal: asked.signal }),
    ...(asked.createConnection ? { createConnection: asked.createConnection } : { agent }),
  };
  return request(options);
}

/** One whole exchange on a connection of its own, unless an agent is given; rejects when it was cut short. */
export async function exchange(gatehouse: Gatehouse, asked: PeerRequest): Promise<PeerResponse> {
  const started = startRequest(gatehouse, asked);
  started.end(asked.body);
  const [response] = (await once(started, "response")) as [IncomingMessage];
  const parts: Buffer[] = [];
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part);
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    body: Buffer.concat(parts).toString(),
  };
}

/** A peer in the middle of an event stream. */
export interface StreamingPeer {
  readonly stream: IncomingMessage;
  /** Leaves as an application does that closes. */
  close(): void;
  /** Leaves as a machine does that has forgotten the connection: RST. */
  reset(): void;
}

/** Opens an event stream over a connection that can be reset below TLS. */
export async function openStreamingPeer(gatehouse: Gatehouse, asked: PeerRequest): Promise<StreamingPeer> {
  const { hostname } = asked;
  const raw = connect({ host: "127.0.0.1", port: gatehouse.port });
  // TLS over a pair of streams: over the socket itself it would own the handle, and no reset would be left to send.
  const [near, far] = duplexPair();
  raw
    .on("error", () => undefined)
    .pipe(far)
    .pipe(raw);
  const createConnection = (): TLSSocket =>
    connectTls({ socket: near, servername: hostname, ca: gatehouse.caPem });
  const stream = await firstEvent(startRequest(gatehouse, { ...asked, createConnection }));
  return { stream, close: () => stream.destroy(), reset: () => raw.resetAndDestroy() };
}

/** Opens an event stream and returns it once its first event is there. */
export async function openStream(gatehouse: Gatehouse, asked: PeerRequest): Promise<IncomingMessage> {
  return firstEvent(startRequest(gatehouse, asked));
}

async function firstEvent(started: ClientRequest): Promise<IncomingMessage> {
  started.end();
  const [response] = (await once(started, "response")) as [IncomingMessage];
  // An abort of ours must not become an uncaught error.
  response.on("error", () => undefined);
  started.on("error", () => undefined);
  await once(response, "data");
  return response;
}
