import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";

/** Attempts before giving up; one is nearly always enough. */
const MAX_ATTEMPTS = 20;

/**
 * Returns a TCP port that is free on each of the addresses right now. For the few places where port 0 won't do: one number on
 * two addresses, or a port that has to be known before its process starts.
 */
export async function freePort(addresses: readonly string[] = ["127.0.0.1"]): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const port = await freePortOnAll(addresses);
    if (port !== undefined) return port;
  }
  throw new Error(`no port is free on all of ${addresses.join(", ")}`);
}

async function freePortOnAll(addresses: readonly string[]): Promise<number | undefined> {
  const held: ReturnType<typeof createServer>[] = [];
  try {
    let port = 0;
    for (const host of addresses) {
      const server = createServer();
      held.push(server);
      const isTaken = new Promise<boolean>((resolve) => server.once("error", () => resolve(true)));
      server.listen({ port, host, ipv6Only: true });
      if (await Promise.race([isTaken, once(server, "listening").then(() => false)])) return undefined;
      port = (server.address() as AddressInfo).port;
    }
    return port;
  } finally {
    for (const server of held) server.close();
  }
}
