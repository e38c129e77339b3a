import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { newRequestId } from "@gatehouse/shared/record-id";
import { AccessRecord } from "./access-log.ts";
import { HostAdmission, hostRefusal } from "./admission.ts";
import type { Serve } from "./app.ts";
import type { Authorization } from "./authorization.ts";
import type { Protection } from "./protection.ts";
import { faultOf } from "./fault.ts";
import type { Forwarder } from "./forward.ts";
import type { ForwardContext } from "./identity-headers.ts";
import { malformedReason, type HttpEvents } from "./http-servers.ts";
import {
  ENDS_CONNECTION,
  refusal,
  refusalBytes,
  refuse,
  type Refusal,
  type Request,
  type Response,
} from "./refusal.ts";
import type { Arrival, ConnectionContext, RequestContext } from "./request-context.ts";
import { inboundTraceId } from "./trace-context.ts";

export interface RequestHandlerOptions {
  readonly hostname: Hostname;
  readonly log: RecordLog;
  readonly forwarder: Forwarder;
  /** Told each host config; says whether a protected one may be served. */
  readonly authorization: Pick<Authorization, "configure">;
  readonly publicPort: number;
}

/** A request that may go on, or the reason it may not. */
type Admitted =
  | { readonly ok: true; readonly context: RequestContext; readonly target: string }
  | { readonly ok: false; readonly refusal: Refusal };

/**
 * The corridor every request walks, upgrades included: is it for this host, does the host serve just now, then the app. Refusals
 * are answered and recorded here; what is admitted is recorded by the forwarder.
 */
export class RequestHandler implements HttpEvents {
  readonly #options: RequestHandlerOptions;
  readonly #admission: HostAdmission;
  /** Connections on which nothing is served any more: what was pipelined behind may be part of the message before. */
  readonly #ended = new WeakSet<ConnectionContext>();
  #serve: Serve;
  #protection: Protection | undefined;
  #hostConfig: HostConfig | undefined;
  /** Why everything is refused just now; decided once per config, not per request. */
  #closed: Refusal | undefined = hostRefusal(undefined, { ok: true });

  constructor(options: RequestHandlerOptions) {
    this.#options = options;
    this.#admission = new HostAdmission(options.hostname, options.publicPort);
    this.#serve = (request, response, context) => this.#serveOpen(request, response, context);
  }

  /** Puts the protection in place, for good. */
  protect(protection: Protection): void {
    this.#protection = protection;
    this.#serve = protection.serve({
      forward: (request, response, context) => this.#forward(request, response, context),
      failed: (error, exchange) => this.#failed(error, exchange),
    });
    this.configure(this.#hostConfig);
  }

  configure(config: HostConfig | undefined): void {
    this.#hostConfig = config;
    const readiness = this.#options.authorization.configure(config);
    this.#closed = hostRefusal(config, readiness);
    // A host that is away for a moment lets its streams be; one that may not serve must not go on serving.
    if (!config?.enabled || (config.auth_enabled && !readiness.ok))
      this.#options.forwarder.withdraw("host_closed", () => "all");
    else this.#protection?.resource.configure(config);
  }

  request(request: Request, response: Response, connection: ConnectionContext): void {
    const arrival = arrive(connection);
    const admitted = this.#admit(request, arrival);
    if (!admitted.ok) {
      refuse(request, response, admitted.refusal);
      this.#record(admitted.refusal, arrival, request);
    } else if (admitted.target === "*") {
      // The question is about the server in front, and that is us (RFC 9110 section 9.3.7).
      response.statusCode = 204;
      response.end();
      this.#record({ status: 204, reason: "server_options" }, arrival, request);
    } else {
      request.url = admitted.target;
      this.#nameHost(request);
      void this.#serve(request, response, admitted.context);
    }
  }

  expectContinue(request: Request, response: Response, connection: ConnectionContext): void {
    // The upstream is not asked: undici can't wait for its 100. Who is refused here has not sent a body for nothing.
    if (this.#admit(request, arrive(connection)).ok) response.writeContinue();
    this.request(request, response, connection);
  }

  expectUnknown(request: Request, response: Response, connection: ConnectionContext): void {
    const arrival = arrive(connection);
    const admitted = this.#admit(request, arrival);
    const refused = admitted.ok
      ? refusal("expectation_failed", "an expectation other than 100-continue")
      : admitted.refusal;
    refuse(request, response, refused);
    this.#record(refused, arrival, request);
  }

  upgrade(
    request: IncomingMessage,
    { socket, head }: { socket: Duplex; head: Buffer },
    connection: ConnectionContext,
  ): void {
    // Node has taken its own listeners off: an error here would end the process.
    socket.on("error", () => {});
    const arrival = arrive(connection);
    const admitted = this.#admit(request, arrival);
    if (!admitted.ok) {
      this.#refuseSocket(socket, admitted.refusal);
      this.#record(admitted.refusal, arrival, request);
      return;
    }
    request.url = admitted.target;
    void this.#upgrade(request, { socket, head }, admitted.context);
  }

  /** The same way through the protected resource as any other request. */
  async #upgrade(
    request: IncomingMessage,
    { socket, head }: { socket: Duplex; head: Buffer },
    admitted: RequestContext,
  ): Promise<void> {
    try {
      const context = this.#protection
        ? await this.#protection.resource.authorizeUpgrade(request, socket, admitted)
        : openContext(admitted);
      if (!context) return;
      const closed = this.#closed;
      if (closed) {
        this.#refuseSocket(socket, closed);
        this.#record(closed, context, request);
      } else {
        this.#options.forwarder.upgrade(request, socket, { head, context });
      }
    } catch (error) {
      const refused = internalError(error);
      this.#refuseSocket(socket, refused);
      this.#record(refused, admitted, request);
    }
  }

  connect(request: IncomingMessage, socket: Duplex, connection: ConnectionContext): void {
    socket.on("error", () => {});
    const refused = refusal("method_not_allowed", "CONNECT is not forwarded");
    this.#refuseSocket(socket, refused);
    this.#record(refused, arrive(connection), request);
  }

  malformed(
    error: NodeJS.ErrnoException,
    { socket, mayAnswer }: { socket: Duplex; mayAnswer: boolean },
    connection: ConnectionContext,
  ): void {
    // The code names the rule that was broken; a message might quote what broke it.
    const refused = refusal(malformedReason(error), error.code ?? "not HTTP");
    if (mayAnswer) this.#refuseSocket(socket, refused);
    else socket.destroy();
    this.#record(refused, arrive(connection));
  }

  sessionFailed(error: NodeJS.ErrnoException, connection: ConnectionContext): void {
    // The words of nghttp2 are a closed set, like the codes.
    const isKnown = error.code === "ERR_HTTP2_ERROR";
    const problem = `HTTP/2 session ended: ${isKnown ? error.message : (error.code ?? "failed")}`;
    this.#record(refusal("malformed_request", problem), arrive(connection));
  }

  #admit(request: Request, arrival: Arrival): Admitted {
    const { servername } = arrival.connection.socket;
    if (this.#ended.has(arrival.connection))
      return { ok: false, refusal: refusal("malformed_request", "behind a message of doubtful length") };
    const admission = this.#admission.admit({
      method: request.method ?? "",
      target: request.url ?? "",
      isHttp2: "stream" in request,
      version: request.httpVersion,
      scheme: "stream" in request ? request.scheme : undefined,
      rawHeaders: request.rawHeaders,
      serverName: typeof servername === "string" ? servername : undefined,
    });
    if (!admission.ok) {
      if (ENDS_CONNECTION.has(admission.refusal.reason)) this.#ended.add(arrival.connection);
      return admission;
    }
    const hostConfig = this.#hostConfig;
    if (this.#closed || !hostConfig) {
      return { ok: false, refusal: this.#closed ?? refusal("disabled", "no host config") };
    }
    return {
      ok: true,
      target: admission.target,
      context: {
        id: arrival.id,
        connection: arrival.connection,
        startedAt: arrival.startedAt,
        hostConfig,
        host: admission.host,
      },
    };
  }

  /** Hono builds its URL from this; in which admitted spelling the peer named us must not matter there. */
  #nameHost(request: Request): void {
    request.headers["stream" in request ? ":authority" : "host"] = this.#options.hostname;
  }

  /** On an open host nothing is ours: every path is the upstream's. */
  async #serveOpen(request: Request, response: Response, admitted: RequestContext): Promise<void> {
    try {
      await this.#forward(request, response, openContext(admitted));
    } catch (error) {
      this.#failed(error, { request, response, context: admitted });
    }
  }

  async #forward(request: Request, response: Response, context: RequestContext): Promise<void> {
    // Whoever waited for a token to be looked up, or for a body to be looked at, may find the host closed by now.
    const closed = this.#closed;
    if (closed === undefined) return await this.#options.forwarder.forward(request, response, context);
    refuse(request, response, closed);
    this.#record(closed, context, request);
  }

  /** A fault of ours: the peer learns that there was one, the record which. */
  #failed(
    error: unknown,
    { request, response, context }: { request: Request; response: Response; context: RequestContext },
  ): void {
    const refused = internalError(error);
    if (response.headersSent) response.destroy();
    else refuse(request, response, refused);
    this.#record(refused, context, request);
  }

  #refuseSocket(socket: Duplex, refused: Refusal): void {
    if (socket.writable) socket.end(refusalBytes(refused), () => socket.destroy());
    else socket.destroy();
  }

  /** The one record of a request that was answered here. */
  #record(
    { reason, status, problem }: { reason: string; status: number; problem?: string },
    context: Arrival & Pick<ForwardContext, "identity">,
    request?: Request,
  ): void {
    const { log, hostname } = this.#options;
    const { method, url } = request ?? {};
    const access = new AccessRecord(log, { hostname, method, target: url, context });
    access.traceId = inboundTraceId(request?.headers["traceparent"]);
    access.status = status;
    access.reason = reason;
    access.problem = problem;
    access.endedBy = "gateway";
    access.ended();
  }
}

/** A request gets its name before anything is decided about it. */
function arrive(connection: ConnectionContext): Arrival {
  return { id: newRequestId(), connection, startedAt: performance.now() };
}

/** Without protection nothing but an open host may get here. @throws {TypeError} for any other */
function openContext(context: RequestContext): RequestContext {
  if (context.hostConfig.auth_enabled) throw new TypeError("a protected request without protection");
  return context;
}

function internalError(error: unknown): Refusal {
  return refusal("internal_error", faultOf(error));
}
