import { IncomingMessage, ServerResponse, type OutgoingHttpHeaders } from "node:http";
import { Socket } from "node:net";
import type { Who } from "../access-log.ts";
import type { GrantedIdentity } from "../oauth/identity.ts";
import { noted } from "./answer-record.ts";
import { oauthReason } from "./oauth-reason.ts";
import type { Trace } from "./request-trace.ts";

/** What the engine is to see of a request. Nothing else of the peer's request reaches it. */
export interface EngineCall {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** Canonical `host[:port]` of this instance, never what the peer sent: the engine builds URLs from it. */
  readonly host: string;
  readonly authorization?: string | undefined;
  readonly cookie?: string | undefined;
  readonly body?: { readonly type: string; readonly bytes: Buffer } | undefined;
  readonly trace: Trace;
  /** True once no answer can reach the client any more; asked where an answer that gets lost does harm. */
  readonly hasLeft?: (() => boolean) | undefined;
  /** `jti` of the access token that was shown and verified, for the endpoints that take tokens (`/revoke`, `/introspect`). */
  readonly presentedToken?: string | undefined;
}

/** What a person should read when the engine can't send the browser back to the client. */
export interface PageProblem {
  readonly status: number;
  readonly error: string;
  readonly description: string;
}

/**
 * A request made for the engine instead of the peer's own: canonical host, only the headers that the endpoints read, a body that
 * may have been rewritten. It looks the same for HTTP/1.1 and HTTP/2 and never touches the peer's socket.
 */
export class EngineRequest extends IncomingMessage {
  readonly trace: Trace;
  readonly hasLeft: () => boolean;
  readonly presentedToken: string | undefined;
  /** Metadata documents that this request had fetched, or had to take as they were before. A failure is not asked for again. */
  readonly documents = new Map<string, "fetched" | "kept">();
  /** Milliseconds after which what this request needs may be fetched; 0 where nothing was refused for want of that. */
  fetchWaitMs = 0;
  /** Who stands behind the code of this request, read before the code is consumed: a replay may revoke it a moment later. */
  granted: { readonly grantId: string; readonly identity: GrantedIdentity } | undefined;
  /** For whom the engine worked, as far as it came. */
  who: Who = {};
  /** Set by the engine's error page hook; the page itself is made outside. */
  pageProblem: PageProblem | undefined;
  /** Set when something other than the request was at fault. */
  failure: unknown;

  constructor(call: EngineCall) {
    // Koa takes `encrypted` for https, which is what the peer speaks to this instance.
    super(Object.assign(new Socket(), { encrypted: true }));
    this.method = call.method;
    this.url = call.url;
    this.headers = {
      host: call.host,
      // The engine renders HTML errors for whoever prefers HTML; its own pages are never shown.
      accept: "application/json",
      ...(call.authorization === undefined ? {} : { authorization: call.authorization }),
      ...(call.cookie === undefined ? {} : { cookie: call.cookie }),
      ...(call.body === undefined
        ? {}
        : { "content-type": call.body.type, "content-length": String(call.body.bytes.length) }),
    };
    this.httpVersion = "1.1";
    this.httpVersionMajor = 1;
    this.httpVersionMinor = 1;
    this.complete = true;
    this.trace = call.trace;
    this.hasLeft = call.hasLeft ?? (() => false);
    this.presentedToken = call.presentedToken;
    if (call.body !== undefined) this.push(call.body.bytes);
    this.push(null);
  }

  /** The body is there from the start; there is no socket to read from. */
  override _read(): void {}
}

/** Keeps what the engine answers, to be looked at and passed on. */
export class EngineResponse extends ServerResponse {
  #body = Buffer.alloc(0);

  override end(...args: unknown[]): this {
    const [chunk] = args;
    if (typeof chunk === "string" || chunk instanceof Uint8Array) this.#body = Buffer.from(chunk);
    // Without a socket nothing is sent; this only marks the response as ended.
    super.end();
    return this;
  }

  get body(): Buffer {
    return this.#body;
  }

  /** The JSON object in the body; undefined when it holds anything else. */
  get json(): Record<string, unknown> | undefined {
    try {
      const value: unknown = JSON.parse(this.#body.toString());
      return isObject(value) ? value : undefined;
    } catch {
      return undefined; // an empty body, a redirect's text
    }
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The engine's login session, which is not kept and so is not sent either. */
export const SESSION_COOKIE = "__Secure-gatehouse-session";

/** Headers of the engine's answer that are passed on; its CORS and type headers are ours to set. */
const PASSED: readonly string[] = ["cache-control", "location", "set-cookie", "www-authenticate"];

/** Returns the engine's answer as a `Response`; `json` replaces its body. */
export function toResponse(answer: EngineResponse, json?: Record<string, unknown>): Response {
  const headers = passedHeaders(answer.getHeaders());
  const isEmpty = answer.statusCode === 204 || headers.has("location") || (json ?? answer.json) === undefined;
  if (!isEmpty) headers.set("content-type", "application/json");
  const body = isEmpty ? null : JSON.stringify(json ?? answer.json);
  const { statusCode: status, req } = answer;
  return noted(new Response(body, { status, headers }), {
    reason: status >= 400 ? oauthReason(answer.json?.["error"]) : undefined,
    who: req instanceof EngineRequest ? req.who : undefined,
  });
}

function passedHeaders(given: OutgoingHttpHeaders): Headers {
  const headers = new Headers();
  for (const name of PASSED) {
    for (const value of [given[name] ?? []].flat()) {
      if (name !== "set-cookie" || !String(value).startsWith(`${SESSION_COOKIE}=`))
        headers.append(name, String(value));
    }
  }
  return headers;
}
