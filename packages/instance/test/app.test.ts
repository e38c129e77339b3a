import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, jest, test } from "@jest/globals";
import { serveProtected } from "../src/app.ts";
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
