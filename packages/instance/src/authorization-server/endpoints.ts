import type { Context } from "hono";
import type { AppBindings } from "../app.ts";
import type { SigningKeys } from "../oauth/signing-key.ts";
import { peerHasLeft, readBytes } from "./body-bytes.ts";
import type { Engine, EngineAnswer } from "./engine.ts";
import { isObject, toResponse, type EngineCall, type PageProblem } from "./engine-exchange.ts";
import { noted } from "./answer-record.ts";
import { activeRefreshToken, activeToken, readPresentedToken } from "./presented-token.ts";
import { clientMetadata, clientUpdate, registrationAnswer } from "./register.ts";
import type { RegistrationCounter } from "./registration-counter.ts";
import { traceOf } from "./request-trace.ts";
import { authorizationRequest, tokenRequest, type HostView } from "./request-compatibility.ts";

export type HostContext = Context<{ Bindings: AppBindings }>;

export interface EndpointsOptions {
  readonly engine: Engine;
  readonly origin: string;
  readonly counter: RegistrationCounter;
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
    const query = authorizationRequest(new URL(c.req.url).searchParams, this.#view(c));
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
    const wait = await this.#options.counter.take(json["redirect_uris"]);
    if (wait > 0) {
      this.#options.engine.record(traceOf(c), TOO_MANY);
      return tooManyRegistrations(wait);
    }
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
    return toResponse((await this.#form(c, (form) => tokenRequest(form, this.#view(c)))).response);
  }

  /** `POST /revoke` (RFC 7009). */
  async revoke(c: HostContext): Promise<Response> {
    return toResponse((await this.#tokenForm(c)).response);
  }

  /** `POST /introspect` (RFC 7662); a client learns about its own tokens only. */
  async introspect(c: HostContext): Promise<Response> {
    const { response, claims } = await this.#tokenForm(c);
    const { json } = response;
    if (json?.["active"] !== true) return toResponse(response);
    return toResponse(response, claims === undefined ? activeRefreshToken(json) : activeToken(claims));
  }

  /** The engine refuses JWTs here, so it is given the id of a verified one, and finds its record. */
  async #tokenForm(c: HostContext) {
    const { bytes } = await readBody(c);
    const form = new URLSearchParams(bytes.toString());
    const { origin, keys } = this.#options;
    const shown = await readPresentedToken(form.get("token") ?? "", { origin, keys: keys() });
    // A hint can only mislead (RFC 7009 section 2.1): the token itself says what it is.
    form.delete("token_type_hint");
    if (shown.kind !== "opaque") form.set("token", shown.kind === "access" ? shown.jti : "worthless");
    const answer = await this.#call(c, {
      ...this.#formBody(c, Buffer.from(form.toString())),
      ...(shown.kind === "access" ? { presentedToken: shown.jti } : {}),
    });
    return { ...answer, claims: shown.kind === "access" ? shown.claims : undefined };
  }

  async #form(c: HostContext, rewrite: (form: URLSearchParams) => URLSearchParams): Promise<EngineAnswer> {
    const { bytes } = await readBody(c);
    const form = rewrite(new URLSearchParams(bytes.toString()));
    const body = this.#formBody(c, Buffer.from(form.toString()));
    return await this.#call(c, { ...body, hasLeft: () => peerHasLeft(c) });
  }

  /** Anything but a form goes to the engine under its own type, to be refused (contract section 10). */
  #formBody(c: HostContext, bytes: Buffer): Partial<EngineCall> & { url: string } {
    return {
      url: c.req.path,
      authorization: c.req.header("authorization"),
      body: { type: c.req.header("content-type") ?? "", bytes },
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
    return toResponse(response, registrationAnswer(json, c.env.context.hostConfig.auth_allowed_scopes));
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

const TOO_MANY = {
  level: "warn",
  event: "client_refused",
  message: "registration refused: too many in this minute",
  reason: "too_many_registrations",
} as const;

function tooManyRegistrations(wait: number): Response {
  const body = {
    error: "temporarily_unavailable",
    error_description: "too many registrations, try again later",
  };
  const answer = Response.json(body, {
    status: 429,
    headers: { "retry-after": String(wait), "cache-control": "no-store" },
  });
  return noted(answer, { reason: TOO_MANY.reason });
}
