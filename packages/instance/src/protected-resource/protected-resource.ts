import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Redis } from "ioredis";
import type { HostConfig } from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import type { RecordLog } from "@gatehouse/shared/log-record";
import { AccessRecord, PEER_LEFT_STATUS } from "../access-log.ts";
import type { ForwardContext, Identity } from "../identity-headers.ts";
import { mcpMessageOfHeaders } from "../mcp-message.ts";
import { TokenVerifier, type VerifiedToken } from "../oauth/access-token.ts";
import { LiveTokens } from "../oauth/live-tokens.ts";
import type { SigningKeyRing } from "../oauth/signing-key.ts";
import type { Request, Response } from "../refusal.ts";
import type { RequestContext } from "../request-context.ts";
import { sendAnswer, sendAnswerOnSocket } from "./answer-writer.ts";
import { errorAnswer, rpcAnswer, SESSION_NOT_FOUND, type Answer } from "./answer.ts";
import { GuardedPassage } from "./guarded-passage.ts";
import { checkMessages } from "./message-check.ts";
import { readRequestHead, type RequestHead } from "./request-head.ts";
import { ResourcePolicy, type Bearer, type JudgedRequest } from "./resource-policy.ts";
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
  readonly redis: Redis;
  /** Ends those open streams whose context is meant. */
  readonly endStreams: (isMeant: (context: ForwardContext) => boolean) => void;
  readonly sessions?: Pick<SessionBindingsOptions, "seconds" | "maxSessions">;
  readonly maxTokens?: number;
}

/** What was decided about a request. */
type Decision =
  | { readonly kind: "answer"; readonly answer: Answer; readonly token?: VerifiedToken | undefined }
  | {
      readonly kind: "pass";
      readonly request: JudgedRequest;
      readonly bearer?: Bearer;
      readonly body?: Buffer;
    };

/** An exchange that was let through and is not over. */
interface OpenExchange {
  readonly head: RequestHead;
  readonly token: VerifiedToken | undefined;
  readonly context: ForwardContext;
}

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
  readonly #open = new Set<OpenExchange>();

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

  start(): void {
    this.#verifier.start();
  }

  async close(): Promise<void> {
    await this.#verifier.close();
  }

  /**
   * Follows a host config: requests carry their own, so this is for what is open. Streams that would not be let through any more are
   * ended, those from before the host was protected among them.
   */
  configure(config: HostConfig): void {
    if (!config.auth_enabled) return;
    const policy = this.#policy(config);
    const kept = new Set<ForwardContext>();
    for (const exchange of this.#open) if (isStillGood(policy, exchange)) kept.add(exchange.context);
    this.#options.endStreams((context) => !kept.has(context));
  }

  /** Returns the context to forward a request with, or undefined when it was answered here, and recorded. */
  async authorize(
    request: Request,
    response: Response,
    context: RequestContext,
  ): Promise<ForwardContext | undefined> {
    if (!context.hostConfig.auth_enabled) return context;
    const head = readRequestHead(request);
    const decision = await this.#decide(head, context.hostConfig, request);
    if (decision.kind === "pass") return this.#letThrough(decision, context, response);
    const answer = this.#policy(context.hostConfig).shared(decision.answer, head);
    sendAnswer(request, response, answer);
    this.#record({ ...decision, answer }, head, context);
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
    const decision = await this.#decide(head, context.hostConfig, undefined);
    if (decision.kind === "pass") return this.#letThrough(decision, context, socket);
    const answer = this.#policy(context.hostConfig).shared(decision.answer, head);
    sendAnswerOnSocket(socket, answer);
    this.#record({ ...decision, answer }, head, context);
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
    return "status" in checked
      ? { kind: "answer", answer: checked, token: bearer.token }
      : { kind: "pass", request, bearer, body: checked.body };
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

  #letThrough(
    { request, bearer, body }: Extract<Decision, { kind: "pass" }>,
    context: RequestContext,
    exchange: Response | Duplex,
  ): ForwardContext {
    const passage = new GuardedPassage({
      origin: request.head.origin,
      body,
      onSession: bearer && ((sessionId) => this.#sessions.bind(sessionId, bearer.token.uid)),
    });
    const forwarded: ForwardContext = {
      ...context,
      passage,
      ...(bearer && { identity: identityOf(bearer) }),
    };
    const open = { head: request.head, token: bearer?.token, context: forwarded };
    const unfollow = bearer && this.#verifier.follow(bearer.token);
    this.#open.add(open);
    exchange.once("close", () => {
      this.#open.delete(open);
      unfollow?.();
    });
    return forwarded;
  }

  #endOpen(isMeant: (exchange: OpenExchange) => boolean): void {
    const meant = new Set([...this.#open].filter(isMeant).map(({ context }) => context));
    if (meant.size > 0) this.#options.endStreams((context) => meant.has(context));
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
    { answer, token }: Extract<Decision, { kind: "answer" }>,
    { method, target, mcpMethod, mcpName }: RequestHead,
    context: RequestContext,
  ): void {
    const access = new AccessRecord(this.#options.log, {
      hostname: this.#options.hostname,
      method,
      path: target?.path ?? "",
      context:
        token === undefined ? context : { ...context, identity: identityOf({ token, scopes: token.scopes }) },
    });
    access.mcp = mcpMessageOfHeaders(mcpMethod, mcpName);
    access.status = answer.status;
    access.reason = answer.reason;
    access.endedBy = answer.status === PEER_LEFT_STATUS ? "peer" : "gateway";
    access.bytesOut = method === "HEAD" ? 0 : Buffer.byteLength(answer.body);
    access.ended();
  }
}

/** True when an exchange that was let through under a former config would be under this one, as far as its head tells. */
function isStillGood(policy: ResourcePolicy, { head, token }: OpenExchange): boolean {
  const request = policy.receive(head);
  if ("status" in request) return false;
  if (policy.isExcluded(request.path)) return true;
  return token !== undefined && !("status" in policy.judge(request, token));
}

function identityOf({ token, scopes }: Bearer): Identity {
  return {
    login: token.sub,
    uid: token.uid,
    scopes,
    clientId: token.clientId,
    ...(token.email === null ? {} : { email: token.email }),
  };
}
