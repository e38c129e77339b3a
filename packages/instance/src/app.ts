import { getRequestListener } from "@hono/node-server";
import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import type { Protection } from "./protection.ts";
import type { Request, Response } from "./refusal.ts";
import type { RequestContext } from "./request-context.ts";

/** What Hono's handlers find in `c.env`: Node's own objects, and what the request carries. */
export interface AppBindings {
  readonly incoming: Request;
  readonly outgoing: Response;
  readonly context: RequestContext;
}

export type App = Hono<{ Bindings: AppBindings }>;

/** Serves one admitted request. */
export type Serve = (request: Request, response: Response, context: RequestContext) => Promise<void>;

/** What lies behind the paths of a host. */
export interface Behind {
  /** Carries a request that may go on. Never rejects. */
  readonly forward: Serve;
  /** Answers where something of ours has failed, and records it. */
  readonly failed: (
    error: unknown,
    exchange: { request: Request; response: Response; context: RequestContext },
  ) => void;
}

/** Where Hono's listener finds the context: a WeakMap entry per request would live until the next full collection. */
const CONTEXT: unique symbol = Symbol("request context");

type ContextCarrier = Request & { [CONTEXT]?: RequestContext };

/**
 * Every path of a protected host, on one screen (contract section 5): the authorization server takes its endpoints and the login its
 * pages; all that is left is the protected resource's, which answers with its metadata, with 404 for the other documents about
 * authorization, with a challenge, or lets the request through. An open host has no path of its own, and needs nothing of this.
 */
export function serveProtected({ server, resource }: Omit<Protection, "serve">, behind: Behind): Serve {
  const app: App = new Hono();
  app.onError((error) => {
    throw error;
  });
  server.routes(app);
  const mayBeServers = firstSegments(app);
  const toResource: Serve = async (request, response, admitted) => {
    const context = await resource.authorize(request, response, admitted);
    if (context) await behind.forward(request, response, context);
  };
  app.all("*", async ({ env: { incoming, outgoing, context } }) => {
    await toResource(incoming, outgoing, context);
    return RESPONSE_ALREADY_SENT;
  });
  const route = listen(app, behind);
  return async (request, response, context) => {
    if (mayBeServers(request.url ?? "/")) return await route(request, response, context);
    try {
      await toResource(request, response, context);
    } catch (error) {
      behind.failed(error, { request, response, context });
    }
  };
}

/** A first segment in which nothing is encoded: the router, which decodes, reads it as it stands. */
const PLAIN_SEGMENT = /^\/([^/?%]*)(?=[/?]|$)/;

/**
 * Returns what says of a request target whether a route may match it. Most requests are for the resource, and the objects that Hono
 * makes of each, and the promises between them, took a tenth of the CPU of a whole chain, and more.
 * @throws {TypeError} for a route whose first segment is a pattern: it may match anything
 */
function firstSegments({ routes }: App): (target: string) => boolean {
  const taken = new Set(routes.map(({ path }) => PLAIN_SEGMENT.exec(path)?.[1] ?? ""));
  for (const segment of taken)
    if (segment === "" || /[:*{]/.test(segment)) throw new TypeError(`no route may begin with "${segment}"`);
  return (target) => {
    const segment = PLAIN_SEGMENT.exec(target)?.[1];
    return segment === undefined || taken.has(segment);
  };
}

/** Hono behind Node's own request and response. Nothing touches the Request's body, so none is ever built. */
function listen(app: App, { failed }: Behind): Serve {
  const listener = getRequestListener(
    async (webRequest, { incoming, outgoing }) => {
      const { [CONTEXT]: context } = incoming as ContextCarrier;
      if (!context) throw new TypeError("a request that was not admitted");
      try {
        return await app.fetch(webRequest, { incoming, outgoing, context });
      } catch (error) {
        failed(error, { request: incoming, response: outgoing, context });
        return RESPONSE_ALREADY_SENT;
      }
    },
    // The forwarder owns the body, and the global Request and Response are not ours to replace.
    { overrideGlobalObjects: false, autoCleanupIncoming: false },
  );
  return async (request, response, context) => {
    (request as ContextCarrier)[CONTEXT] = context;
    await listener(request, response);
  };
}
