import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { HostConfig } from "@gatehouse/shared/host-config";
import { OpenSet } from "@gatehouse/shared/open-set";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { AccessRecord, PEER_LEFT_STATUS } from "../access-log.ts";
import type { Forwarder, Withdrawal } from "../forward.ts";
import type { ForwardContext, Identity } from "../identity-headers.ts";
import { mcpMessageOfBody, mcpMessageOfHeaders, type McpMessage } from "../mcp-message.ts";
import { TokenVerifier, type VerifiedToken } from "../oauth/access-token.ts";
import { LiveTokens } from "../oauth/live-tokens.ts";
import type { SigningKeyRing } from "../oauth/signing-key.ts";
import type { Request, Response } from "../refusal.ts";
import type { RequestContext } from "../request-context.ts";
import { inboundTraceId } from "../trace-context.ts";
import { sendAnswer, sendAnswerOnSocket } from "./answer-writer.ts";
import { errorAnswer, rpcAnswer, SESSION_NOT_FOUND, type Answer } from "./answer.ts";
import { GuardedPassage } from "./guarded-passage.ts";
import { checkMessages, mayHoldMessage } from "./message-check.ts";
import { ExchangeLife, hasNewRules, objection, type OpenExchange } from "./open-exchange.ts";
import { readRequestHead, type RequestHead } from "./request-head.ts";
import { ResourcePolicy, type Bearer, type JudgedRequest } from "./resource-policy.ts";
import type { TokenCheck } from "./token-check.ts";
import { SessionBindings, type SessionBindingsOptions } from "./session-binding.ts";

export interface ProtectedResourceOptions {
  readonly hostname: Hostname;
  /** `https://HOST`, with the port where that is not 443: issuer, and root of both resources. */
  readonly origin: string;
  readonly log: RecordLog;
  readonly keys: Pick<SigningKeyRing, "current" | "onChange">;
  /** For connections of its own, which follow the token records. */
  readonly redisUrl: string;
  /** For session bindings. */
  readonly redis: RedisClient;
  /** Takes back what was let through; {@link Forwarder.withdraw}. */
  readonly withdraw: Forwarder["withdraw"];
  readonly sessions?: Pick<SessionBindingsOptions, "seconds" | "maxSessions">;
  readonly maxTokens?: number;
  /** Told once for each request to the protected host, what came of its credentials. */
  readonly onTokenCheck?: (result: TokenCheck) => void;
}

/** What was decided about a request. */
type Decision = Passed | Refused;

interface Passed {
  readonly kind: "pass";
  readonly request: JudgedRequest;
  readonly bearer?: Bearer;
  readonly body?: Buffer;
}

interface Refused {
  readonly kind: "answer";
  readonly answer: Answer;
  readonly token?: VerifiedToken | undefined;
  /** What the body said, when it was read and the answer is about it. */
  readonly mcp?: McpMessage | undefined;
}

const PEER_LEFT = errorAnswer(PEER_LEFT_STATUS, "aborted", "aborted_by_peer");

/**
 * The protected resource of one hostname (RFC 9728): every request to a protected host that the authorization server does not take
 * comes through here, WebSocket upgrades and excluded paths included, and leaves answered or with the identity behind it. On an open
 * host it lets everything through untouched.
 */
export class ProtectedResource {
  readonly #options: ProtectedResourceOptions;
  readonly #verifier: TokenVerifier;
  readonly #sessions: SessionBindings;
  readonly #policies = new WeakMap<HostConfig, ResourcePolicy>();
  readonly #open = new OpenSet<OpenExchange>();
  /** The config in force; what is being decided may have begun under a former one. */
  #config: HostConfig | undefined;

  constructor(options: ProtectedResourceOptions) {
    const { hostname, origin, keys, redisUrl, redis, maxTokens } = options;
    this.#options = options;
    this.#sessions = new SessionBindings({ redis, hostname, ...options.sessions });
    this.#verifier = new TokenVerifier({
      issuer: origin,
      keys,
      live: (listeners) => new LiveTokens({ url: redisUrl, hostname, ...listeners }),
      onRevoked: (jti) => this.#endOpen((exchange) => exchange.token?.jti === jti),
      ...(maxTokens === undefined ? {} : { maxTokens }),
    });
  }

  /** Exchanges that were let through and are not over. */
  get open(): number {
    return this.#open.size;
  }

  start(): void {
    this.#verifier.start();
  }

  async close(): Promise<void> {
    await this.#verifier.close();
  }

  /**
   * Follows a host config: requests carry their own, so this is for what is open. What would not be let through any more is taken back,
   * streams from before the host was protected among it; and so are messages that are still to come, if rules hold for them that did not.
   */
  configure(config: HostConfig): void {
    this.#config = config;
    if (!config.auth_enabled) return;
    const policy = this.#policy(config);
    const kept = new Map<ForwardContext, Withdrawal>();
    for (const exchange of this.#open) {
      if (objection(policy, exchange) !== undefined) continue;
      const before = this.#policy(exchange.context.hostConfig);
      kept.set(exchange.context, hasNewRules({ now: policy, before }, exchange) ? "messages" : "nothing");
    }
    this.#options.withdraw("not_allowed_any_more", (context) => kept.get(context) ?? "all");
  }

  /** Returns the context to forward a request with, or undefined when it was answered here, and recorded. */
  async authorize(
    request: Request,
    response: Response,
    context: RequestContext,
  ): Promise<ForwardContext | undefined> {
    if (!context.hostConfig.auth_enabled) return context;
    const head = readRequestHead(request);
    const life = new ExchangeLife(response);
    const decision = await this.#decide(head, context.hostConfig, request);
    const passed =
      decision.kind === "pass" ? this.#letThrough({ ...decision, source: request }, context, life) : decision;
    this.#tellCheck(passed);
    if ("id" in passed) return passed;
    const answer = this.#policy(context.hostConfig).shared(passed.answer, head);
    sendAnswer(request, response, answer);
    this.#record({ ...passed, answer }, { head, request, context });
    return undefined;
  }

  /** The same for a request whose socket Node's server has let go of. */
  async authorizeUpgrade(
    request: IncomingMessage,
    socket: Duplex,
    context: RequestContext,
  ): Promise<ForwardContext | undefined> {
    if (!context.hostConfig.auth_enabled) return context;
    const head = readRequestHead(request);
    const life = new ExchangeLife(socket);
    const decision = await this.#decide(head, context.hostConfig, undefined);
    const passed =
      decision.kind === "pass"
        ? this.#letThrough({ ...decision, source: undefined }, context, life)
        : decision;
    this.#tellCheck(passed);
    if ("id" in passed && !life.isOver) return passed;
    // Nobody else would notice a socket that closed before anyone listened.
    const refused: Refused = "id" in passed ? { kind: "answer", answer: PEER_LEFT } : passed;
    const answer = this.#policy(context.hostConfig).shared(refused.answer, head);
    sendAnswerOnSocket(socket, answer);
    this.#record({ ...refused, answer }, { head, request, context });
    return undefined;
  }

  /** The order is the safe one: nothing of a request is believed before its token is, nothing of its body is read before that. */
  async #decide(head: RequestHead, config: HostConfig, source: Request | undefined): Promise<Decision> {
    const policy = this.#policy(config);
    const request = policy.receive(head);
    if ("status" in request) return { kind: "answer", answer: request };
    if (policy.isExcluded(request.path)) return { kind: "pass", request };
    const credentials = policy.credentials(request);
    if (typeof credentials !== "string") return { kind: "answer", answer: credentials };
    const verdict = this.#verifier.verify(credentials);
    const token = verdict instanceof Promise ? await verdict : verdict;
    const bearer = policy.judge(request, token);
    if ("status" in bearer) {
      return { kind: "answer", answer: bearer, token: "problem" in token ? undefined : token };
    }
    const foreign = await this.#checkSession(head, bearer.token);
    if (foreign !== undefined) return { kind: "answer", answer: foreign, token: bearer.token };
    const { scopes } = bearer;
    const rules = policy.openRules(request, scopes);
    if (rules.length === 0) return { kind: "pass", request, bearer };
    const refuse = (needed: readonly string[]): Answer => policy.insufficientScope(request, needed);
    const checked = await checkMessages({ head, rules, scopes, source, refuse });
    if (checked === undefined) return { kind: "pass", request, bearer };
    if (checked.answer === undefined) return { kind: "pass", request, bearer, body: checked.body };
    const { answer, body } = checked;
    return { kind: "answer", answer, token: bearer.token, mcp: body && mcpMessageOfBody(body) };
  }

  async #checkSession({ sessionIds }: RequestHead, token: VerifiedToken): Promise<Answer | undefined> {
    const [sessionId] = sessionIds;
    if (sessionId === undefined) return undefined;
    if (sessionIds.length > 1) return errorAnswer(400, "bad_request", "more than one Mcp-Session-Id");
    const check = this.#sessions.check(sessionId, token.uid);
    const ownership = check instanceof Promise ? await check : check;
    if (ownership === "own" || ownership === "unsaid") return undefined;
    // The same words for both: whether a session exists is its user's to know.
    const answer = { code: SESSION_NOT_FOUND, message: "Session not found" };
    const word = ownership === "foreign" ? "session_of_another_user" : "session_unknown";
    return rpcAnswer(404, answer, `${word} (MCP Security Best Practices, Session Hijacking)`);
  }

  /** Opens the exchange, unless its ground was taken away while it was decided about. */
  #letThrough(
    { request, bearer, body, source }: Passed & { readonly source: Request | undefined },
    context: RequestContext,
    life: ExchangeLife,
  ): ForwardContext | Refused {
    const passage = new GuardedPassage({
      origin: request.head.origin,
      body,
      challenge: () => this.#policy(context.hostConfig).challenge(request),
      onSession: bearer && ((sessionId) => this.#sessions.bind(sessionId, bearer.token.uid)),
    });
    const { id, connection, startedAt, hostConfig, host } = context;
    const admitted = { id, connection, startedAt, hostConfig, host, passage };
    const forwarded: ForwardContext =
      bearer === undefined ? admitted : Object.assign(admitted, { identity: identityOf(bearer) });
    const open = {
      head: request.head,
      token: bearer?.token,
      context: forwarded,
      mayHoldMessage: mayHoldMessage(source),
    };
    const objected = this.#lateObjection(open);
    if (objected !== undefined) return { kind: "answer", answer: objected, token: bearer?.token };
    if (life.isOver) return forwarded;
    const unfollow = bearer && this.#verifier.follow(bearer.token);
    const place = this.#open.add(open);
    life.onOver = () => {
      this.#open.delete(place);
      unfollow?.();
    };
    return forwarded;
  }

  /** A good token whose request was refused for something else counts as good; an excluded path asks for none. */
  #tellCheck(passed: ForwardContext | Refused): void {
    const isGood = "id" in passed ? passed.identity !== undefined : passed.token !== undefined;
    const decided = "id" in passed ? undefined : passed.answer.tokenCheck;
    const result = decided ?? (isGood ? "accepted" : undefined);
    if (result !== undefined) this.#options.onTokenCheck?.(result);
  }

  /** A body can take a minute to come: the config may be another by now, the token revoked. */
  #lateObjection(exchange: OpenExchange): Answer | undefined {
    const { token, context } = exchange;
    const config = this.#config ?? context.hostConfig;
    const isRevoked = token !== undefined && this.#verifier.isRevoked(token.jti);
    if (!config.auth_enabled || (config === context.hostConfig && !isRevoked)) return undefined;
    const [now, before] = [this.#policy(config), this.#policy(context.hostConfig)];
    const objected = objection(now, exchange, isRevoked ? { problem: "revoked" } : undefined);
    if (objected !== undefined || !hasNewRules({ now, before }, exchange)) return objected;
    return errorAnswer(503, "unavailable", "not_allowed_any_more");
  }

  #endOpen(isMeant: (exchange: OpenExchange) => boolean): void {
    const meant = new Set([...this.#open].filter(isMeant).map(({ context }) => context));
    if (meant.size > 0)
      this.#options.withdraw("token_revoked", (context) => (meant.has(context) ? "all" : "nothing"));
  }

  #policy(config: HostConfig): ResourcePolicy {
    let policy = this.#policies.get(config);
    if (policy === undefined) {
      policy = new ResourcePolicy(config, this.#options.origin);
      this.#policies.set(config, policy);
    }
    return policy;
  }

  /** The one record of a request that was answered here. */
  #record(
    { answer, token, mcp }: Refused,
    {
      head: { method, path, mcpMethod, mcpName },
      request,
      context,
    }: { readonly head: RequestHead; readonly request: Request; readonly context: RequestContext },
  ): void {
    const access = new AccessRecord(this.#options.log, {
      hostname: this.#options.hostname,
      method,
      target: path,
      context:
        token === undefined ? context : { ...context, identity: identityOf({ token, scopes: token.scopes }) },
    });
    access.mcp = mcpMessageOfHeaders(mcpMethod, mcpName) ?? mcp;
    access.traceId = inboundTraceId(request.headers["traceparent"]);
    access.status = answer.status;
    access.reason = answer.reason;
    access.endedBy = answer.status === PEER_LEFT_STATUS ? "peer" : "gateway";
    access.bytesOut = method === "HEAD" ? 0 : Buffer.byteLength(answer.body);
    access.ended();
  }
}

function identityOf({ token, scopes }: Bearer): Identity {
  const { sub: login, uid, clientId, email } = token;
  return email === null ? { login, uid, scopes, clientId } : { login, uid, scopes, clientId, email };
}
