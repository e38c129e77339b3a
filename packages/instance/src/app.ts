import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
import type { Protection } from "./protection.ts";
import type { Forwarder } from "./forward.ts";
import type { Request, Response } from "./refusal.ts";
import type { RequestContext } from "./request-context.ts";

/** What Hono's handlers find in `c.env`: Node's own objects, and what the request carries. */
export interface AppBindings {
  readonly incoming: Request;
  readonly outgoing: Response;
  readonly context: RequestContext;
}

export type App = Hono<{ Bindings: AppBindings }>;

/**
 * Every path of a host, on one screen. Requests that reach it are for this host and admitted. On an open host nothing is ours: every
 * path falls through to the upstream. On a protected one (contract section 5) the authorization server takes its endpoints and the
 * login its pages; all that is left is the protected resource's, which answers with its metadata, with 404 for the other documents
 * about authorization, with a challenge, or lets the request through.
 */
export function makeApp(forwarder: Pick<Forwarder, "forward">, protection: Protection | undefined): App {
  const app: App = new Hono();
  protection?.server.routes(app);
  app.all("*", async ({ env }) => {
    const { incoming, outgoing } = env;
    const context = protection
      ? await protection.resource.authorize(incoming, outgoing, env.context)
      : openContext(env.context);
    if (context) await forwarder.forward(incoming, outgoing, context);
    return RESPONSE_ALREADY_SENT;
  });
  return app;
}

/** Without protection nothing but an open host may get here. @throws {TypeError} for any other */
export function openContext(context: RequestContext): RequestContext {
  if (context.hostConfig.auth_enabled) throw new TypeError("a protected request without protection");
  return context;
}
