import { RESPONSE_ALREADY_SENT } from "@hono/node-server/utils/response";
import { Hono } from "hono";
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
 * Every path of a host, on one screen. Requests that reach it are for this host and admitted. On an open host nothing is ours:
 * every path goes to the upstream. The endpoints of a protected host (contract section 5) will stand above the last line.
 */
export function makeApp(forwarder: Forwarder): App {
  const app: App = new Hono();
  app.all("*", async ({ env }) => {
    await forwarder.forward(env.incoming, env.outgoing, env.context);
    return RESPONSE_ALREADY_SENT;
  });
  return app;
}
