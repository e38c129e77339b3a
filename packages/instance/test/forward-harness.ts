import { once } from "node:events";
import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import type { TLSSocket } from "node:tls";
import { parseHostConfig, type HostConfig } from "@gatehouse/shared/host-config";
import { parseHostname } from "@gatehouse/shared/hostname";
import type { LogRecord } from "@gatehouse/shared/log-record";
import { newConnectionId, newRequestId } from "@gatehouse/shared/record-id";
import { until } from "@gatehouse/testbed/until";
import { Forwarder } from "../src/forward.ts";
import type { ForwardLimits } from "../src/forward-limits.ts";
import type { ForwardContext } from "../src/identity-headers.ts";
import { isWebSocketUpgrade } from "../src/websocket.ts";

export function hostConfig(targetUrl: string, fields: Record<string, unknown> = {}): HostConfig {
  const parsed = parseHostConfig(JSON.stringify({ target_url: targetUrl, ...fields }));
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  return parsed.config;
}

export interface Front {
  readonly forwarder: Forwarder;
  readonly records: LogRecord[];
  readonly h1Port: number;
  readonly h2Port: number;
  readonly configure: (targetUrl: string, fields?: Record<string, unknown>) => void;
  /** The record of the request that ended `count`-th. */
  readonly ended: (count?: number) => Promise<LogRecord>;
  readonly close: () => Promise<void>;
}

export interface FrontOptions {
  readonly limits?: Partial<ForwardLimits>;
  readonly fields?: Record<string, unknown>;
  readonly isDebug?: boolean;
  readonly identity?: ForwardContext["identity"];
  /** What the server does before it forwards. */
  readonly before?: (response: http.ServerResponse | http2.Http2ServerResponse) => Promise<void>;
}

/** Serves a forwarder over HTTP/1.1 and h2c, as the instance's server does over TLS. */
export async function startFront(targetUrl: string, options: FrontOptions = {}): Promise<Front> {
  const records: LogRecord[] = [];
  const parsed = parseHostname("app.example");
  if (!parsed.ok) throw new Error(parsed.problem);
  const forwarder = new Forwarder({
    hostname: parsed.hostname,
    log: {
      write: (record) => records.push(record),
      isEnabled: (level) => level !== "debug" || options.isDebug === true,
    },
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  });
  const configure = (url: string, fields?: Record<string, unknown>): void => {
    forwarder.configure(hostConfig(url, fields));
  };
  configure(targetUrl, options.fields);
  const config = hostConfig(targetUrl);
  const context = (request: { headers: http.IncomingHttpHeaders }, socket: unknown): ForwardContext => ({
    id: newRequestId(),
    startedAt: performance.now(),
    hostConfig: config,
    host: String(request.headers[":authority"] ?? request.headers.host ?? "app.example"),
    connection: {
      id: newConnectionId(),
      addresses: { source: { ip: "192.0.2.7", port: 4711 }, destination: { ip: "192.0.2.1", port: 443 } },
      socket: socket as TLSSocket,
    },
    ...(options.identity === undefined ? {} : { identity: options.identity }),
  });
  const serve = async (
    request: http.IncomingMessage | http2.Http2ServerRequest,
    response: http.ServerResponse | http2.Http2ServerResponse,
  ): Promise<void> => {
    await options.before?.(response);
    await forwarder.forward(request, response, context(request, request.socket));
  };
  const h1 = http.createServer({ shouldUpgradeCallback: isWebSocketUpgrade }, (request, response) => {
    void serve(request, response);
  });
  h1.on("upgrade", (request, socket, head) => {
    forwarder.upgrade(request, socket, { head, context: context(request, socket) });
  });
  const h2 = http2.createServer((request, response) => {
    void serve(request, response);
  });
  const sessions = new Set<http2.ServerHttp2Session>();
  h2.on("session", (session) => sessions.add(session));
  h1.listen(0, "127.0.0.1");
  h2.listen(0, "127.0.0.1");
  await Promise.all([once(h1, "listening"), once(h2, "listening")]);
  const ended = async (count = 1): Promise<LogRecord> => {
    const find = (): LogRecord | undefined =>
      records.filter(({ event }) => event === "request_ended").at(count - 1);
    await until(() => find() !== undefined);
    return find() ?? ({} as LogRecord);
  };
  return {
    forwarder,
    records,
    configure,
    ended,
    h1Port: portOf(h1),
    h2Port: portOf(h2),
    close: async () => {
      await forwarder.close();
      h1.closeAllConnections();
      for (const session of sessions) session.destroy();
      h1.close();
      h2.close();
    },
  };
}

export function portOf(server: net.Server): number {
  return (server.address() as net.AddressInfo).port;
}

/** An upstream of node:http. */
export async function startUpstream(
  listener: http.RequestListener,
  listen: net.ListenOptions = { port: 0, host: "127.0.0.1" },
): Promise<{ server: http.Server; url: string; close: () => void }> {
  const server = http.createServer(listener);
  server.listen(listen);
  await once(server, "listening");
  const close = (): void => {
    server.closeAllConnections();
    server.close();
  };
  return { server, url: listen.path === undefined ? `http://127.0.0.1:${portOf(server)}` : "", close };
}

/** An upstream that is a bare socket: says and sees exactly the octets of the test. */
export async function startRawUpstream(onConnection: (socket: net.Socket, count: number) => void): Promise<{
  url: string;
  received: string[];
  sockets: net.Socket[];
  close: () => void;
}> {
  const received: string[] = [];
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    const count = sockets.push(socket);
    received.push("");
    socket.on("error", () => undefined);
    socket.on("data", (chunk) => {
      received[count - 1] += chunk.toString("latin1");
    });
    onConnection(socket, count);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = (): void => {
    for (const socket of sockets) socket.destroy();
    server.close();
  };
  return { url: `http://127.0.0.1:${portOf(server)}`, received, sockets, close };
}

/** A peer that is a bare socket. */
export class RawPeer {
  readonly socket: net.Socket;
  text = "";
  isEnded = false;
  isClosed = false;
  error: Error | undefined;

  constructor(port: number, send?: string | Buffer) {
    this.socket = net.connect(port, "127.0.0.1");
    this.socket.on("data", (chunk) => {
      this.text += chunk.toString("latin1");
    });
    this.socket.on("end", () => {
      this.isEnded = true;
    });
    this.socket.on("error", (error) => {
      this.error = error;
    });
    this.socket.on("close", () => {
      this.isClosed = true;
    });
    if (send !== undefined) this.send(send);
  }

  send(text: string | Buffer): void {
    this.socket.write(typeof text === "string" ? Buffer.from(text, "latin1") : text);
  }

  async sees(part: string): Promise<void> {
    await until(
      () => this.text,
      (text) => text.includes(part),
    );
  }

  async closed(): Promise<void> {
    await until(() => this.isClosed);
  }
}

export interface H2Answer {
  status: number;
  headers: http2.IncomingHttpHeaders;
  trailers: http2.IncomingHttpHeaders | undefined;
  info: http2.IncomingHttpHeaders[];
  body: string;
  isEnded: boolean;
  isClosed: boolean;
  code: number | undefined;
}

/** A peer on HTTP/2; one session, any number of streams. */
export class H2Peer {
  readonly session: http2.ClientHttp2Session;

  constructor(port: number) {
    this.session = http2.connect(`http://127.0.0.1:${port}`);
    this.session.on("error", () => undefined);
  }

  /** Opens a stream; the answer fills as it arrives. */
  open(
    headers: http2.OutgoingHttpHeaders,
    endStream = true,
  ): { stream: http2.ClientHttp2Stream; answer: H2Answer } {
    const stream = this.session.request({ ":authority": "app.example", ...headers }, { endStream });
    const answer: H2Answer = {
      status: 0,
      headers: {},
      trailers: undefined,
      info: [],
      body: "",
      isEnded: false,
      isClosed: false,
      code: undefined,
    };
    stream.on("headers", (info) => answer.info.push(info));
    stream.on("response", (got) => {
      answer.status = got[":status"] ?? 0;
      answer.headers = got;
    });
    stream.on("trailers", (got) => {
      answer.trailers = got;
    });
    stream.on("data", (chunk: Buffer) => {
      answer.body += chunk.toString("latin1");
    });
    stream.on("end", () => {
      answer.isEnded = true;
    });
    stream.on("error", () => undefined);
    stream.on("close", () => {
      answer.isClosed = true;
      answer.code = stream.rstCode;
    });
    return { stream, answer };
  }

  async ask(headers: http2.OutgoingHttpHeaders, body?: string | Buffer): Promise<H2Answer> {
    const { stream, answer } = this.open(headers, body === undefined);
    if (body !== undefined) stream.end(body);
    await until(() => answer.isClosed);
    return answer;
  }

  close(): void {
    this.session.destroy();
  }
}

/** One request over HTTP/1.1 by node:http; raw headers as they came. */
export async function ask(
  port: number,
  options: Omit<http.RequestOptions, "headers"> & {
    body?: string | Buffer;
    headers?: Record<string, string>;
  } = {},
): Promise<{
  status: number;
  message: string;
  rawHeaders: string[];
  headers: http.IncomingHttpHeaders;
  body: Buffer;
}> {
  const { body, headers, ...rest } = options;
  const request = http.request({
    host: "127.0.0.1",
    port,
    agent: false,
    ...rest,
    headers: { host: "app.example", ...headers },
  });
  request.end(body);
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  return {
    status: response.statusCode ?? 0,
    message: response.statusMessage ?? "",
    rawHeaders: response.rawHeaders,
    headers: response.headers,
    body: Buffer.concat(chunks),
  };
}
