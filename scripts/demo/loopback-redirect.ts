import { once } from "node:events";
import { createServer, type Server } from "node:http";

/** Longer than an authorization can be under way. */
const BROWSER_TIMEOUT_MS = 660_000;

/** Where a browser on this machine is sent back to (RFC 8252 section 7.3). */
export interface LoopbackRedirect {
  readonly uri: string;
  /** Settles with the address the browser came with. @throws when none comes in time, or before `stop` */
  arrival(this: void, stop?: AbortSignal): Promise<URL>;
  close(this: void): void;
}

/** Listens on a free port of 127.0.0.1; `farewell` is what the browser shows then. */
export async function loopbackRedirect(farewell: string): Promise<LoopbackRedirect> {
  const { promise, resolve } = Promise.withResolvers<URL>();
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? "/", `http://127.0.0.1:${portOf(server)}`);
    if (url.pathname !== "/callback" || !url.searchParams.has("state")) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
    response.end(`${farewell}\n`);
    resolve(url);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    uri: `http://127.0.0.1:${portOf(server)}/callback`,
    arrival: async (stop) => await inTime(promise, stop),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function inTime(browser: Promise<URL>, stop?: AbortSignal): Promise<URL> {
  const late = Promise.withResolvers<never>();
  const error = new Error(`no browser came back within ${BROWSER_TIMEOUT_MS / 60_000} minutes`);
  const timer = setTimeout(() => late.reject(error), BROWSER_TIMEOUT_MS);
  const giveUp = (): void => late.reject(new Error("stopped before the browser came back"));
  if (stop?.aborted === true) giveUp();
  stop?.addEventListener("abort", giveUp);
  return await Promise.race([browser, late.promise]).finally(() => {
    clearTimeout(timer);
    stop?.removeEventListener("abort", giveUp);
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the listener has no port");
  return address.port;
}
