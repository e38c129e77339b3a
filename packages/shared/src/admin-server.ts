import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { formatListenAddress, listen, type ListenAddress } from "./listen-address.ts";

export interface AdminAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Answers one path of the admin address; called at each request, so it must be cheap. */
export type AdminRoute = () => AdminAnswer;

export interface AdminServer {
  /** Base URL without trailing slash, or `unix:/path`. */
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves health and metrics apart from the traffic, on an address that only this machine reaches: it is never the public port,
 * so a scraper can't be mistaken for a peer and a flood of peers can't take the answer away.
 * @throws the system's error when the address can't be bound
 */
export async function openAdminServer(
  address: ListenAddress,
  routes: Readonly<Record<string, AdminRoute>>,
): Promise<AdminServer> {
  const table = new Map(Object.entries(routes));
  const server = createServer({ headersTimeout: 5000, requestTimeout: 5000 }, (request, response) => {
    const route = table.get((request.url ?? "").split("?", 1)[0] ?? "");
    const isRead = request.method === "GET" || request.method === "HEAD";
    const answer: AdminAnswer =
      route === undefined || !isRead
        ? { status: route === undefined ? 404 : 405, contentType: "text/plain", body: "" }
        : route();
    response.writeHead(answer.status, {
      "content-type": answer.contentType,
      "content-length": Buffer.byteLength(answer.body),
      "cache-control": "no-store",
    });
    response.end(request.method === "HEAD" ? undefined : answer.body);
  });
  await listen(server, address);
  server.unref();
  return {
    url: boundUrl(address, server.address()),
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A JSON answer, 200 when healthy and 503 when not, as orchestrators expect. */
export function healthAnswer(isHealthy: boolean, report: object): AdminAnswer {
  return {
    status: isHealthy ? 200 : 503,
    contentType: "application/json",
    body: `${JSON.stringify(report)}\n`,
  };
}

function boundUrl(asked: ListenAddress, bound: string | AddressInfo | null): string {
  if (bound === null || typeof bound === "string") return formatListenAddress(asked);
  return `http://${formatListenAddress({ kind: "tcp", host: bound.address, port: bound.port })}`;
}
