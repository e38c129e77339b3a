import { once } from "node:events";
import { createServer, get, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, jest, test } from "@jest/globals";
import { Hono } from "hono";
import { serveProtected, type App } from "../src/app.ts";
import type { Protection } from "../src/protection.ts";
import type { RequestContext } from "../src/request-context.ts";

const context = { id: "req-1" } as RequestContext;

afterEach(() => {
  jest.restoreAllMocks();
});

test("a fault on the way to the upstream reaches who answers and records it, and is printed nowhere", async () => {
  const printed = jest.spyOn(console, "error");
  const fault = new Error("a fault of ours");
  const parts = {
    server: { routes: () => undefined },
    resource: {
      authorize: async () => {
        throw fault;
      },
    },
  } as unknown as Omit<Protection, "serve">;
  const failed: unknown[] = [];
  const serve = serveProtected(parts, {
    forward: async () => undefined,
    failed: (error, exchange) => {
      failed.push(error, exchange.context);
      exchange.response.statusCode = 500;
      exchange.response.end();
    },
  });
  const server = createServer((request, response) => void serve(request, response, context));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const { status } = await fetch(`http://127.0.0.1:${port}/mcp`);
  server.close();
  expect(status).toBe(500);
  expect(failed).toEqual([fault, context]);
  expect(printed).not.toHaveBeenCalled();
});

describe("which requests a route of the authorization server takes", () => {
  const ROUTES = ["/token", "/authorize/:uid", "/.well-known/openid-configuration/*"];

  function mount(app: App): void {
    for (const route of ROUTES) app.all(route, (c) => c.text(route));
  }

  /** Serves one request to each target, in turn, and returns who answered. */
  async function ask(targets: readonly string[]): Promise<string[]> {
    const parts = {
      server: { routes: mount },
      resource: { authorize: async (_request: unknown, _response: unknown, admitted: unknown) => admitted },
    } as unknown as Omit<Protection, "serve">;
    const serve = serveProtected(parts, {
      forward: async (_request, response) => void response.end("resource"),
      failed: (error, { response }) => void response.end(String(error)),
    });
    const server = createServer((request, response) => void serve(request, response, context));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const answers: string[] = [];
    for (const path of targets) {
      // Not fetch, which has its own opinion of a path.
      const [response] = (await once(get({ port, host: "127.0.0.1", path }), "response")) as [
        IncomingMessage,
      ];
      answers.push(await text(response));
    }
    server.close();
    return answers;
  }

  test("is what the router says of every one of them, however it is spelled", async () => {
    const segments = [
      "",
      "token",
      "tokens",
      "Token",
      "%74oken",
      "token%2F",
      "token;a",
      "authorize",
      "authoriz%65",
    ];
    const more = ["u1", "%75", ".well-known", "openid-configuration", "x", "%", ":uid", "*"];
    const all = [...segments, ...more];
    const targets = [
      ...all.map((one) => `/${one}`),
      ...all.flatMap((one) => all.map((two) => `/${one}/${two}`)),
      ...all.map((one) => `/${one}?/token`),
      ...all.map((one) => `//${one}`),
      "/.well-known/openid-configuration/a/b",
      "/%2Ewell-known/openid-configuration",
    ];
    const router: App = new Hono();
    mount(router);
    router.all("*", (c) => c.text("resource"));
    const told = await Promise.all(
      targets.map(async (target) => await (await router.request(`http://127.0.0.1${target}`)).text()),
    );
    expect(await ask(targets)).toEqual(told);
    expect(new Set(told).size).toBe(ROUTES.length + 1);
  });

  test("can't be known of a route that begins with a pattern", () => {
    for (const route of ["*", "/*", "/:any", "/:any{[0-9]+}/more"]) {
      const parts = {
        server: { routes: (app: App) => void app.all(route, (c) => c.text("")) },
      } as unknown as Omit<Protection, "serve">;
      const behind = { forward: async () => undefined, failed: () => undefined };
      expect(() => serveProtected(parts, behind)).toThrow(TypeError);
    }
  });
});
