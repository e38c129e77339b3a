import type { LogRecord } from "@gatehouse/shared/log-record";
import type { Context } from "hono";
import type { AppBindings } from "../app.ts";
import { assignableScopes } from "../oauth/scope.ts";
import type { SigningKeys } from "../oauth/signing-key.ts";
import {
  retryAfter,
  type AuthorizationLimit,
  type FailureLimit,
  type LimitReason,
  type Shown,
} from "./abuse-limits.ts";
import { peerHasLeft, readBytes } from "./body-bytes.ts";
import type { Engine, EngineAnswer } from "./engine.ts";
import { isObject, toResponse, type EngineCall, type PageProblem } from "./engine-exchange.ts";
import { noted } from "./answer-record.ts";
import type { OAuthStore } from "./oauth-store.ts";
import { activeRefreshToken, activeToken, readPresentedToken } from "./presented-token.ts";
import { clientMetadata, clientUpdate, registrationAnswer } from "./register.ts";
import type { RegistrationCounter } from "./registration-counter.ts";
import { traceOf } from "./request-trace.ts";
import { shownToOthers, shownToToken } from "./shown.ts";
import { authorizationRequest, tokenRequest, type HostView } from "./request-compatibility.ts";

export type HostContext = Context<{ Bindings: AppBindings }>;

/** How much of what is taken. */
interface EndpointLimits {
  readonly registrations: RegistrationCounter;
  readonly authorizations: AuthorizationLimit;
  readonly failures: FailureLimit;
}

export interface EndpointsOptions {
  readonly engine: Engine;
  readonly origin: string;
  readonly store: OAuthStore;
  readonly limits: EndpointLimits;
  readonly keys: () => SigningKeys;
  readonly errorPage: (problem: PageProblem) => Response;
}

/** Largest body of any endpoint here; registrations with a key set are the longest, at a few KiB. */
const MAX_BODY_BYTES = 32 * 1024;

const JSON_TYPE = "application/json";
const FORM_TYPE = "application/x-www-form-urlencoded";

/**
 * The endpoints that the engine answers: each reads the peer's request, makes the one the engine shall see, and passes on what it
 * answers. Times, codes, tokens and clients are the engine's; what real clients send is dealt with here.
 */
export class Endpoints {
  readonly #options: EndpointsOptions;

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /** `GET /authorize`: the browser goes on to the consent page, or back to the client with an error. */
  async authorize(c: HostContext): Promise<Response> {
    const asked = new URL(c.req.url).searchParams;
    const wait = this.#options.limits.authorizations.take(asked.get("client_id") ?? "", ipOf(c));
    if (wait > 0) return this.#tooManyAuthorizations(c, wait);
    const query = authorizationRequest(asked, this.#view(c));
    return this.#page(await this.#call(c, { url: `/authorize?${query.toString()}` }));
  }

  /** `GET /authorize/{uid}`: the browser comes back from the login; its cookie says that it is the one that left. */
  async resume(c: HostContext): Promise<Response> {
    return this.#page(await this.#call(c, { url: c.req.path, cookie: c.req.header("cookie") }));
  }

  /** `POST /register` (RFC 7591). */
  async register(c: HostContext): Promise<Response> {
    const { bytes, json } = await readBody(c);
    if (json === undefined) return toResponse((await this.#call(c, rawBody(c, bytes))).response);
    const wait = await this.#options.limits.registrations.take(json["redirect_uris"], ipOf(c));
    if (wait > 0) return this.#tooMany(c, TOO_MANY_REGISTRATIONS, wait);
    const { response } = await this.#call(c, jsonBody("/register", clientMetadata(json)));
    return this.#clientAnswer(c, response);
  }

  /** `GET`, `PUT` and `DELETE /register/{client_id}` (RFC 7592). */
  async manage(c: HostContext): Promise<Response> {
    const url = c.req.path;
    const authorization = c.req.header("authorization");
    if (c.req.method !== "PUT")
      return this.#clientAnswer(c, (await this.#call(c, { url, authorization })).response);
    const { bytes, json } = await readBody(c);
    const body = json === undefined ? rawBody(c, bytes) : jsonBody(url, clientUpdate(json));
    return this.#clientAnswer(c, (await this.#call(c, { ...body, authorization })).response);
  }

  /** `POST /token` (RFC 6749 section 3.2). */
  async token(c: HostContext): Promise<Response> {
    const { bytes } = await readBody(c);
    const form = new URLSearchParams(bytes.toString());
    const shown = shownToToken(form, peerOf(c), this.#options.store);
    return await this.#limited(c, shown, async () => {
      const rewritten = tokenRequest(form, this.#view(c));
      const body = this.#formBody(c, rewritten);
      return toResponse((await this.#call(c, { ...body, hasLeft: () => peerHasLeft(c) })).response);
    });
  }

  /** `POST /revoke` (RFC 7009). */
  async revoke(c: HostContext): Promise<Response> {
    return await this.#tokenForm(c, ({ response }) => toResponse(response));
  }

  /** `POST /introspect` (RFC 7662); a client learns about its own tokens only. */
  async introspect(c: HostContext): Promise<Response> {
    return await this.#tokenForm(c, ({ response }, claims) => {
      const { json } = response;
      if (json?.["active"] !== true) return toResponse(response);
      return toResponse(response, claims === undefined ? activeRefreshToken(json) : activeToken(claims));
    });
  }

  /** The engine refuses JWTs here, so it is given the id of a verified one, and finds its record. */
  async #tokenForm(
    c: HostContext,
    answer: (of: EngineAnswer, claims: Parameters<typeof activeToken>[0] | undefined) => Response,
  ): Promise<Response> {
    const { bytes } = await readBody(c);
    const form = new URLSearchParams(bytes.toString());
    const { origin, keys, store } = this.#options;
    const token = await readPresentedToken(form.get("token") ?? "", { origin, keys: keys() });
    const isAccess = token.kind === "access";
    const shown = shownToOthers(form, { ...peerOf(c), isVerified: isAccess }, store);
    return await this.#limited(c, shown, async () => {
      // A hint can only mislead (RFC 7009 section 2.1): the token itself says what it is.
      form.delete("token_type_hint");
      if (token.kind !== "opaque") form.set("token", isAccess ? token.jti : "worthless");
      const engine = await this.#call(c, {
        ...this.#formBody(c, form),
        ...(isAccess ? { presentedToken: token.jti } : {}),
      });
      return answer(engine, isAccess ? token.claims : undefined);
    });
  }

  /** Answers, unless too much like it was refused before; counts what is refused now. */
  async #limited(c: HostContext, shown: Shown, answer: () => Promise<Response>): Promise<Response> {
    const { failures } = this.#options.limits;
    const wait = await failures.wait(shown);
    if (wait > 0) return this.#tooMany(c, TOO_MANY_FAILURES, wait);
    const response = await answer();
    if (response.status >= 400 && response.status < 500) failures.failed(shown);
    return response;
  }

  #tooMany(c: HostContext, { what, ...step }: TooMany, wait: number): Response {
    this.#options.engine.record(traceOf(c), {
      level: "warn",
      message: `refused: ${what} in this minute`,
      ...step,
    });
    const body = { error: "temporarily_unavailable", error_description: `${what}, try again later` };
    const headers = { "retry-after": retryAfter(wait), "cache-control": "no-store" };
    return noted(Response.json(body, { status: 429, headers }), { reason: step.reason });
  }

  /** A person reads it: nobody has checked where this browser could be sent back to. */
  #tooManyAuthorizations(c: HostContext, wait: number): Response {
    const { reason } = TOO_MANY_AUTHORIZATIONS;
    const refused = this.#tooMany(c, TOO_MANY_AUTHORIZATIONS, wait);
    const description = `${TOO_MANY_AUTHORIZATIONS.what}, try again later`;
    const page = this.#options.errorPage({ status: 429, error: "temporarily_unavailable", description });
    page.headers.set("retry-after", refused.headers.get("retry-after") ?? "");
    return noted(page, { reason });
  }

  /** Anything but a form goes to the engine under its own type, to be refused (contract section 10). */
  #formBody(c: HostContext, form: URLSearchParams): Partial<EngineCall> & { url: string } {
    return {
      url: c.req.path,
      authorization: c.req.header("authorization"),
      body: { type: c.req.header("content-type") ?? "", bytes: Buffer.from(form.toString()) },
    };
  }

  async #call(c: HostContext, call: Partial<EngineCall> & { url: string }): Promise<EngineAnswer> {
    return await this.#options.engine.call({ method: c.req.method, trace: traceOf(c), ...call });
  }

  #page({ response, problem, who }: EngineAnswer): Response {
    if (problem === undefined) return toResponse(response);
    return noted(this.#options.errorPage(problem), { who });
  }

  #clientAnswer(c: HostContext, response: EngineAnswer["response"]): Response {
    const { json, statusCode } = response;
    if (json === undefined || statusCode >= 400) return toResponse(response);
    return toResponse(response, registrationAnswer(json, assignableScopes(c.env.context.hostConfig)));
  }

  #view(c: HostContext): HostView {
    return { origin: this.#options.origin, config: c.env.context.hostConfig };
  }
}

async function readBody(
  c: HostContext,
): Promise<{ bytes: Buffer; json: Record<string, unknown> | undefined }> {
  const bytes = await readBytes(c, MAX_BODY_BYTES);
  const type = (c.req.header("content-type") ?? "").split(";", 1)[0]?.trim().toLowerCase();
  return { bytes, json: type === JSON_TYPE ? parseObject(bytes) : undefined };
}

function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return isObject(value) ? value : undefined;
  } catch {
    return undefined; // for the engine to refuse
  }
}

function jsonBody(url: string, value: Record<string, unknown>): { url: string; body: EngineCall["body"] } {
  return { url, body: { type: JSON_TYPE, bytes: Buffer.from(JSON.stringify(value)) } };
}

function rawBody(c: HostContext, bytes: Buffer): { url: string; body: EngineCall["body"] } {
  return { url: c.req.path, body: { type: c.req.header("content-type") ?? FORM_TYPE, bytes } };
}

function ipOf(c: HostContext): string {
  return c.env.context.connection.addresses.source.ip;
}

function peerOf(c: HostContext) {
  return { ip: ipOf(c), authorization: c.req.header("authorization") };
}

/** What there was too much of, for the answer and the record. */
interface TooMany {
  readonly what: string;
  readonly event: LogRecord["event"];
  readonly reason: LimitReason;
}

const TOO_MANY_REGISTRATIONS: TooMany = {
  what: "too many registrations",
  event: "client_refused",
  reason: "too_many_registrations",
};
const TOO_MANY_AUTHORIZATIONS: TooMany = {
  what: "too many started logins",
  event: "authorization_refused",
  reason: "too_many_authorizations",
};
const TOO_MANY_FAILURES: TooMany = {
  what: "too many refused requests",
  event: "token_refused",
  reason: "too_many_failures",
};
