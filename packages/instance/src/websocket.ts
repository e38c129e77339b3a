import { ServerResponse, type ClientRequest, type IncomingMessage } from "node:http";
import { isIP, Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createProxyServer, type ProxyServer, type ServerOptions } from "http-proxy-3";
import { PEER_LEFT_STATUS, type AccessRecord, type StreamEndReason } from "./access-log.ts";
import { toFieldMap } from "./field-map.ts";
import type { ForwardContext } from "./identity-headers.ts";
import { readResponseFields } from "./response-fields.ts";
import { isBodiless, type ResponseWriter } from "./response-writer.ts";
import { answerShortly } from "./short-answer.ts";
import { UpstreamError, upstreamErrorKind } from "./upstream-error.ts";
import type { UpstreamPlan } from "./upstream.ts";

/** Milliseconds an upstream may take to answer an upgrade: a handshake is no tool call. */
const HANDSHAKE_TIMEOUT_MS = 30_000;

export interface UpgradeOptions {
  /** What the peer sent behind its request. */
  readonly head: Buffer;
  readonly plan: UpstreamPlan;
  /** For answers that are no upgrade. */
  readonly writer: ResponseWriter;
  readonly access: AccessRecord;
  /** Path with base path and query, as it goes on the wire. */
  readonly path: string;
  /** Flat name-value list, already without what a peer may not send. */
  readonly headers: readonly string[];
  readonly context: ForwardContext;
}

/** True for the one upgrade that is carried: WebSocket on HTTP/1.1 (RFC 6455 section 4.1), without a body. */
export function isWebSocketUpgrade(request: IncomingMessage): boolean {
  const { upgrade, connection, "content-length": length, "transfer-encoding": coding } = request.headers;
  return (
    request.method === "GET" &&
    upgrade?.trim().toLowerCase() === "websocket" &&
    /(?:^|,)[ \t]*upgrade[ \t]*(?:,|$)/i.test(connection ?? "") &&
    (length ?? "0") === "0" &&
    coding === undefined
  );
}

/** Returns a response on a socket that Node's server has let go of at an `upgrade`; the connection ends with it. */
export function detachedResponse(request: IncomingMessage, socket: Duplex): ServerResponse {
  const response = new ServerResponse(request);
  response.shouldKeepAlive = false;
  if (socket instanceof Socket) response.assignSocket(socket);
  response.once("finish", () => {
    socket.end(() => socket.destroy());
  });
  return response;
}

/**
 * WebSocket upgrades through http-proxy-3's `ws` path; nothing else of that library is used, because its web path smuggles and hangs
 * (docs/adr). The request it is given holds only what may travel on, so none of its own passes decides about a header.
 */
export class WebSocketForwarder {
  readonly #connectTimeoutMs: number;
  /** Made when somebody first asks for an upgrade. */
  #proxy: ProxyServer | undefined;
  readonly #running = new Map<IncomingMessage, Upgrade>();

  constructor(connectTimeoutMs: number) {
    this.#connectTimeoutMs = connectTimeoutMs;
  }

  /** WebSockets that are open now. */
  get open(): number {
    let open = 0;
    for (const upgrade of this.#running.values()) if (upgrade.isOpen) open++;
    return open;
  }

  /** Carries one upgrade; the record is written when the peer's connection has closed. */
  upgrade(request: IncomingMessage, socket: Duplex, options: UpgradeOptions): void {
    const upgrade = new Upgrade(socket, options);
    this.#running.set(request, upgrade);
    socket.once("close", () => this.#running.delete(request));
    // Expect, connection options and identity are gone from these; http-proxy-3 reads nothing but method, url and headers.
    request.headers = {
      ...toFieldMap(options.headers),
      connection: "Upgrade",
      upgrade: "websocket",
    };
    request.url = options.path;
    this.#proxy ??= this.#openProxy();
    this.#proxy.ws(request, socket, options.head, this.#proxyOptions(options.plan), (error) => {
      upgrade.failed(error);
    });
  }

  /** Ends every WebSocket, or those whose context is meant. */
  endAll(reason: StreamEndReason, isMeant: (context: ForwardContext) => boolean = () => true): void {
    for (const upgrade of this.#running.values()) if (isMeant(upgrade.context)) upgrade.end(reason);
  }

  #openProxy(): ProxyServer {
    const proxy = createProxyServer();
    // A broken connection ends in `close`, where it is dealt with; without a listener the library throws it at the process.
    proxy.on("error", () => undefined);
    proxy.on("proxyReqWs", (outgoing, request) => {
      this.#running.get(request)?.begin(outgoing);
    });
    return proxy;
  }

  #proxyOptions({ upstream, caPem }: UpstreamPlan): ServerOptions {
    const common: ServerOptions = {
      connectTimeout: this.#connectTimeoutMs,
      secure: true,
      // The path is taken as it stands in `url`, instead of through a URL parser that would rewrite it.
      toProxy: true,
      prependPath: false,
    };
    if (upstream.kind === "unix") {
      return { ...common, target: { host: "localhost", port: 80, socketPath: upstream.socketPath } };
    }
    const target = new URL(upstream.origin);
    if (!upstream.tls) return { ...common, target };
    const hostname = target.hostname.replace(/^\[|\]$/g, "");
    // The upstream's own name, not the Host sent, decides about SNI and certificate. The library writes into this object.
    const servername = isIP(hostname) === 0 ? hostname : "";
    return { ...common, target, ssl: { servername }, ...(caPem === undefined ? {} : { ca: caPem }) };
  }
}

/** One upgrade, from the request until both connections are closed. */
class Upgrade {
  readonly #socket: Duplex;
  readonly #options: UpgradeOptions;
  #outgoing: ClientRequest | undefined;
  #upstream: Socket | undefined;
  /** `performance.now()` when the request went to the upstream. */
  #dispatchedAt = performance.now();
  /** Which side of an open WebSocket ended first. */
  #leaver: AccessRecord["endedBy"] | undefined;

  constructor(socket: Duplex, options: UpgradeOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.once("close", () => {
      this.#onPeerClose();
    });
    // Nobody reads until the upstream has answered, and a socket that isn't read does not tell that its peer has left.
    socket.on("readable", this.#onReadable).once("end", this.#onEarlyEnd);
  }

  get context(): ForwardContext {
    return this.#options.context;
  }

  get isOpen(): boolean {
    return this.#upstream !== undefined;
  }

  /** What comes early stays for the upstream; only an end is taken. */
  readonly #onReadable = (): void => {
    if (this.#socket.readableLength === 0) this.#socket.read();
  };

  readonly #onEarlyEnd = (): void => {
    this.#socket.destroy();
  };

  #stopWatching(): void {
    this.#socket.off("readable", this.#onReadable).off("end", this.#onEarlyEnd);
  }

  /** Called with http-proxy-3's own request before it is sent. */
  begin(outgoing: ClientRequest): void {
    this.#outgoing = outgoing;
    this.#dispatchedAt = performance.now();
    const deadline = setTimeout(() => {
      outgoing.destroy(new UpstreamError("timeout"));
    }, HANDSHAKE_TIMEOUT_MS);
    outgoing.once("close", () => {
      clearTimeout(deadline);
    });
    outgoing.once("upgrade", (response, upstream: Socket) => {
      clearTimeout(deadline);
      this.#guard(response);
      this.#join(upstream);
    });
    // Its own relay of an answer that is no upgrade knows no backpressure and waits for ever on a body that is cut short.
    process.nextTick(() => {
      outgoing.removeAllListeners("response");
      outgoing.once("response", (response) => {
        clearTimeout(deadline);
        this.#relay(response);
      });
    });
  }

  failed(error: Error): void {
    const { writer, access, context } = this.#options;
    // After the upgrade, or in the middle of another answer, the ends of the two connections say all there is to say.
    if (this.#upstream !== undefined || writer.hasStarted) return;
    this.#stopWatching();
    const kind = upstreamErrorKind(error);
    // Unless it was taken down from here, and that is why it failed.
    access.reason ??= kind;
    answerShortly(writer, access, {
      status: kind === "timeout" ? 504 : 502,
      requestId: context.id,
      isHead: false,
    });
  }

  end(reason: StreamEndReason): void {
    const { access } = this.#options;
    if (this.#leaver !== undefined) return;
    this.#leaver = "gateway";
    access.endedBy = "gateway";
    access.reason = reason;
    if (this.#upstream === undefined) this.#outgoing?.destroy(new UpstreamError("reset"));
    else this.#upstream.destroy();
  }

  /** A protected host has the last word about the fields, before the library's own listener writes them to the peer. */
  #guard(response: IncomingMessage): void {
    const { passage } = this.#options.context;
    if (passage === undefined) return;
    const fields = Object.entries(response.headers).flatMap(([name, values = ""]) =>
      [values].flat().flatMap((value) => [name, value]),
    );
    response.headers = toFieldMap(passage.responseFields(101, fields));
  }

  /** Both sides are open: whichever closes takes the other down, which http-proxy-3 leaves to the good will of both. */
  #join(upstream: Socket): void {
    const socket = this.#socket;
    this.#stopWatching();
    const { access } = this.#options;
    this.#upstream = upstream;
    access.status = 101;
    access.upstreamMs = performance.now() - this.#dispatchedAt;
    access.streamStarted("WebSocket");
    // Behind the library's own listener: once its pipe is laid this one only looks, and before it would take the first octets away.
    process.nextTick(() => {
      upstream.on("data", (chunk: Buffer) => {
        access.streamChunk(chunk.length);
      });
    });
    for (const event of ["end", "error"] as const) {
      socket.once(event, () => (this.#leaver ??= "peer"));
      upstream.once(event, () => (this.#leaver ??= "upstream"));
    }
    upstream.once("close", () => {
      this.#leaver ??= "upstream";
      if (socket.writableFinished) socket.destroy();
      else socket.once("finish", () => socket.destroy());
    });
  }

  /** The upstream answered without upgrading: passed on like any response, and the connection ends. */
  #relay(response: IncomingMessage): void {
    this.#stopWatching();
    const { writer, access } = this.#options;
    const status = response.statusCode ?? 0;
    const head = readResponseFields(response.rawHeaders, !isBodiless(status));
    access.status = status;
    access.upstreamMs = performance.now() - this.#dispatchedAt;
    writer.start({ status, message: response.statusMessage ?? "", ...head, announcesTrailers: false });
    writer.onDrain(() => {
      response.resume();
    });
    response.on("data", (chunk: Buffer) => {
      access.bytesOut += chunk.length;
      if (!writer.write(chunk)) response.pause();
    });
    response.once("close", () => {
      if (response.complete) writer.end([]);
      else {
        access.reason ??= "reset";
        writer.reset();
      }
    });
  }

  #onPeerClose(): void {
    const { access, writer } = this.#options;
    if (this.#upstream === undefined) {
      this.#outgoing?.destroy();
      if (!writer.isWhole && access.reason === undefined) {
        access.endedBy = "peer";
        access.reason = "aborted_by_peer";
        if (!writer.hasStarted) access.status = PEER_LEFT_STATUS;
      }
    } else {
      access.bytesIn = this.#upstream.bytesWritten;
      access.bytesOut = this.#upstream.bytesRead;
      access.endedBy = this.#leaver ?? "peer";
      this.#upstream.destroy();
    }
    access.ended();
  }
}
