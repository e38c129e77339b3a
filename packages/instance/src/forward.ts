import type { IncomingMessage, ServerResponse } from "node:http";
import type { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import type { Duplex } from "node:stream";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { OpenSet } from "@gatehouse/shared/open-set";
import { AccessRecord, type StreamEndReason } from "./access-log.ts";
import { readRequestTarget, type RequestTarget, type RequestTargetRead } from "./canonical-path.ts";
import { Exchange } from "./exchange.ts";
import { DEFAULT_LIMITS, type ForwardLimits } from "./forward-limits.ts";
import type { ForwardContext } from "./identity-headers.ts";
import { mcpMessageOfBody, mcpMessageOfHeaders } from "./mcp-message.ts";
import { discard, RequestBody } from "./request-body.ts";
import { ownOrigin } from "./request-context.ts";
import { openResponse, type ResponseWriter } from "./response-writer.ts";
import { answerShortly, type ShortStatus } from "./short-answer.ts";
import { isSameUpstream, planUpstream, type UpstreamPlan } from "./upstream.ts";
import { inboundTraceId, nextTraceparent } from "./trace-context.ts";
import { UpstreamPool } from "./upstream-pool.ts";
import { readRequestFields, upstreamHeaders, type RequestFields } from "./upstream-request.ts";
import { detachedResponse, isWebSocketUpgrade, WebSocketForwarder } from "./websocket.ts";

type PeerRequest = IncomingMessage | Http2ServerRequest;
type PeerResponse = ServerResponse | Http2ServerResponse;

/** Milliseconds that peers have to take what they are told when everything is closed. */
const CLOSE_DEADLINE_MS = 1_000;

export interface ForwarderOptions {
  readonly hostname: Hostname;
  readonly log: RecordLog;
  /** Those left out have the defaults of `FORWARD_OPTIONS`. */
  readonly limits?: Partial<ForwardLimits>;
}

/** The way of a request that may go on. */
interface Way {
  readonly plan: UpstreamPlan;
  readonly pool: UpstreamPool;
  readonly fields: RequestFields;
  readonly target: RequestTarget;
}

/** An exchange that is not over, and whose it is. */
interface Running {
  readonly exchange: Exchange;
  readonly context: ForwardContext;
}

/** Where a request goes, or why it goes nowhere. */
type Admission =
  | ({ readonly ok: true } & Way)
  | { readonly ok: false; readonly status: ShortStatus; readonly reason: string };

/**
 * What is taken back of an exchange. `messages`: what could still bring a message to the upstream, a body that is arriving or a WebSocket;
 * `all`: event streams, too. A whole request is at its upstream, and its answer is left to finish.
 */
export type Withdrawal = "all" | "messages" | "nothing";

/** What is known of a request before anything is decided about it. */
interface Arrival {
  readonly request: PeerRequest;
  readonly method: string;
  readonly writer: ResponseWriter;
  readonly access: AccessRecord;
  readonly context: ForwardContext;
}

/** Carries the requests of one hostname to its upstream and the responses back, streaming; writes one record for each. */
export class Forwarder {
  readonly #hostname: Hostname;
  readonly #log: RecordLog;
  readonly #limits: ForwardLimits;
  readonly #running = new OpenSet<Running>();
  readonly #webSockets: WebSocketForwarder;
  #plan: UpstreamPlan | undefined;
  #pool: UpstreamPool | undefined;

  constructor(options: ForwarderOptions) {
    this.#hostname = options.hostname;
    this.#log = options.log;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#webSockets = new WebSocketForwarder(this.#limits.upstreamConnectTimeoutMs);
  }

  /**
   * Follows a host config from the next request on. A new upstream gets connections of its own; what runs stays where it is.
   * @throws {Error} when `target_ca_pem` can't be used; the former config then stays in force.
   */
  configure(config: HostConfig): void {
    const plan = planUpstream(config);
    if (this.#plan === undefined || !isSameUpstream(this.#plan, plan)) {
      const pool = new UpstreamPool(plan.upstream, this.#limits, plan.caPem);
      this.#pool?.close();
      this.#pool = pool;
    }
    this.#plan = plan;
  }

  /** Streams that are open now. */
  get streams(): { readonly sse: number; readonly webSocket: number } {
    let sse = 0;
    for (const { exchange } of this.#running) if (exchange.isEventStream) sse++;
    return { sse, webSocket: this.#webSockets.open };
  }

  /** Carries one request; settles when the exchange is over and recorded. Never rejects. */
  async forward(request: PeerRequest, response: PeerResponse, context: ForwardContext): Promise<void> {
    const writer = openWriter(response, context);
    const { access, read } = this.#arrive(request, context);
    const arrival: Arrival = { request, method: request.method ?? "", writer, access, context };
    const admitted = this.#admit(arrival, read);
    if (!admitted.ok) return refuse(arrival, admitted);
    const { plan, pool, fields, target } = admitted;
    const exchange = new Exchange({
      pool,
      writer,
      access,
      requestId: context.id,
      method: arrival.method,
      path: plan.basePath + target.path + target.query,
      headers: outgoingHeaders(arrival, admitted),
      body: this.#body(arrival, fields),
    });
    const place = this.#running.add({ exchange, context });
    exchange.start();
    await exchange.settled;
    this.#running.delete(place);
  }

  /**
   * Carries a WebSocket upgrade. An upgrade to anything else is answered as if `Upgrade` had not been sent (RFC 9110 section 7.8);
   * a server should not even raise it: {@link isWebSocketUpgrade} fits Node's `shouldUpgradeCallback`.
   */
  upgrade(
    request: IncomingMessage,
    socket: Duplex,
    { head, context }: { readonly head: Buffer; readonly context: ForwardContext },
  ): void {
    const response = detachedResponse(request, socket);
    if (!isWebSocketUpgrade(request)) {
      void this.forward(request, response, context);
      return;
    }
    const writer = openWriter(response, context);
    const { access, read } = this.#arrive(request, context);
    const arrival: Arrival = { request, method: "GET", writer, access, context };
    const admitted = this.#admit(arrival, read);
    if (!admitted.ok) {
      void refuse(arrival, admitted);
      return;
    }
    const { plan, target } = admitted;
    this.#webSockets.upgrade(request, socket, {
      head,
      plan,
      writer,
      access,
      path: plan.basePath + target.path + target.query,
      headers: outgoingHeaders(arrival, admitted),
      context,
    });
  }

  /** Ends event streams and WebSockets in order; other responses are left to finish, unless they turn out to be streams. */
  endStreams(): void {
    for (const { exchange } of this.#running) exchange.endStream("stopping");
    this.#webSockets.endAll("stopping");
  }

  /** Takes back what was let through, as far as its {@link Withdrawal} says for its context. */
  withdraw(reason: StreamEndReason, of: (context: ForwardContext) => Withdrawal): void {
    for (const { exchange, context } of this.#running) {
      const withdrawal = of(context);
      if (withdrawal !== "nothing") exchange.endUnfinished(reason);
      if (withdrawal === "all") exchange.endStream(reason);
    }
    this.#webSockets.endAll(reason, (context) => of(context) !== "nothing");
  }

  /**
   * Ends everything that still runs, connections included; settles when all of it is recorded, or after a second: the server closes
   * what is left with its connections.
   */
  async close(): Promise<void> {
    const late = Promise.withResolvers<void>();
    const timer = setTimeout(late.resolve, CLOSE_DEADLINE_MS);
    const running = [...this.#running];
    for (const { exchange } of running) exchange.abort();
    this.#webSockets.endAll("stopping");
    await Promise.race([late.promise, Promise.all(running.map(({ exchange }) => exchange.settled))]);
    clearTimeout(timer);
    this.#pool?.close(true);
  }

  #arrive(request: PeerRequest, context: ForwardContext): { access: AccessRecord; read: RequestTargetRead } {
    const { method = "", url = "" } = request;
    const access = new AccessRecord(this.#log, { hostname: this.#hostname, method, target: url, context });
    return { access, read: readRequestTarget(url) };
  }

  /** Decides whether a request goes to the upstream, before anything of its body is read. */
  #admit({ request, method, access, context }: Arrival, read: RequestTargetRead): Admission {
    const plan = this.#plan;
    const pool = this.#pool;
    if (plan === undefined || pool === undefined) return refusal(503, "not_configured");
    access.upstream = plan.label;
    if (!read.ok) return refusal(400, read.problem);
    const fields = readRequestFields(request.rawHeaders);
    access.mcp = mcpMessageOfHeaders(fields.mcpMethod, fields.mcpName);
    if (!this.#isAddressed(read.target)) return refusal(421, "authority");
    // What TRACE answers with holds the fields that only the upstream may see.
    if (method === "TRACE" || method === "CONNECT") return refusal(405, method);
    // On a protected host that was decided before, for its own answers as well.
    if (context.passage === undefined && !isAllowedOrigin(plan, fields.origin, context))
      return refusal(403, "origin_not_allowed");
    if (!this.#fits(fields.contentLength ?? 0)) return refusal(413, "content_too_large");
    return { ok: true, plan, pool, fields, target: read.target };
  }

  /** An absolute-form target outranks Host, so it must name this host as well (RFC 9112 section 3.2.2). */
  #isAddressed({ authority }: RequestTarget): boolean {
    return authority === undefined || authority.replace(/:\d*$/, "").toLowerCase() === this.#hostname;
  }

  #fits(contentLength: number): boolean {
    return this.#limits.maxBodyBytes === 0 || contentLength <= this.#limits.maxBodyBytes;
  }

  #body({ request, access, context }: Arrival, fields: RequestFields): RequestBody | undefined {
    if (!hasBody(request, fields)) return undefined;
    const isJson = access.mcp === undefined && /^application\/json\b/i.test(fields.contentType ?? "");
    return new RequestBody(request, {
      maxBytes: this.#limits.maxBodyBytes,
      maxIdleMs: this.#limits.bodyIdleTimeoutMs,
      whole: context.passage?.body,
      onFirstChunk: isJson
        ? (chunk) => {
            access.mcp = mcpMessageOfBody(chunk);
          }
        : undefined,
    });
  }
}

function openWriter(response: PeerResponse, { passage }: ForwardContext): ResponseWriter {
  return passage === undefined
    ? openResponse(response)
    : openResponse(response, (status, fields) => passage.responseFields(status, fields));
}

/** What the upstream gets to see; the trace it goes out under is the one in the records. */
function outgoingHeaders({ access, context }: Arrival, { fields, plan }: Way): string[] {
  const trace = nextTraceparent(fields.traceparent);
  access.traceId = trace.traceId;
  return upstreamHeaders(fields, { context, trace }, plan.headers);
}

function refusal(status: ShortStatus, reason: string): Admission {
  return { ok: false, status, reason };
}

/** Answers in the upstream's place; settles when the peer has the answer, or left. */
async function refuse(
  { request, method, writer, access, context }: Arrival,
  { status, reason }: { readonly status: ShortStatus; readonly reason: string },
): Promise<void> {
  const closed = Promise.withResolvers<void>();
  writer.onClose(closed.resolve);
  access.reason = reason;
  access.endedBy = "gateway";
  access.traceId = inboundTraceId(request.headers["traceparent"]);
  answerShortly(writer, access, { status, requestId: context.id, isHead: method === "HEAD" });
  if (!("stream" in request && request.stream.endAfterHeaders) && !request.complete) discard(request);
  await closed.promise;
  access.ended();
}

function hasBody(request: PeerRequest, fields: RequestFields): boolean {
  if ("stream" in request) return !request.stream.endAfterHeaders;
  return fields.isChunked || (fields.contentLength ?? 0) > 0;
}

/** Without a list the upstream decides; a request without Origin comes from no browser, and the host's own pages are its own. */
function isAllowedOrigin(
  { allowedOrigins }: UpstreamPlan,
  origin: string | undefined,
  context: ForwardContext,
): boolean {
  if (allowedOrigins === undefined || origin === undefined) return true;
  return allowedOrigins.has(origin) || origin === ownOrigin(context);
}
