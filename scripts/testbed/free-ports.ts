import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:net";

/** Attempts before giving up; one is nearly always enough. */
const MAX_ATTEMPTS = 50;

/**
 * Below the range that kernels give to outgoing connections (32768 and up): a port from there may be taken by any connection
 * while its process restarts.
 */
const FIRST_PORT = 20_000;
const LAST_PORT = 32_000;

/** True when a listener may be opened there now; nobody is kept from taking it in the meantime. */
export async function canListen(host: string, port: number): Promise<boolean> {
  const server = createServer();
  server.listen({ host, port, ipv6Only: true });
  try {
    await once(server, "listening");
  } catch {
    return false; // taken, or an address this machine lacks
  }
  server.close();
  await once(server, "close");
  return true;
}

/**
 * Returns a TCP port that is free on each of the addresses right now. For the few places where port 0 won't do: one number on
 * two addresses, a port that has to be known before its process starts, or one that a restarted process must get again.
 */
export async function freePort(addresses: readonly string[] = ["127.0.0.1"]): Promise<number> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt += 1) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    const isFree = await Promise.all(addresses.map((host) => canListen(host, port)));
    if (!isFree.includes(false)) return port;
  }
  throw new Error(`no port is free on all of ${addresses.join(", ")}`);
}

/** Returns that many different ports of loopback, as {@link freePort} chooses them. */
export async function freePorts(count: number): Promise<number[]> {
  const ports = new Set<number>();
  while (ports.size < count) ports.add(await freePort());
  return [...ports];
}
