import { createHash } from "node:crypto";
import { chmod, lstat, unlink } from "node:fs/promises";
import { connect, isIPv4, isIPv6, type Server } from "node:net";
import { dirname, join } from "node:path";
import type { Environment } from "./read-config.ts";

/** Where a process accepts connections. `fd` is a listening descriptor inherited from a supervisor. */
export type ListenAddress =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "fd"; readonly fd: number; readonly name: string };

/** First descriptor that a supervisor passes on (sd_listen_fds(3), SD_LISTEN_FDS_START). */
const FIRST_INHERITED_FD = 3;
/** Octets that a unix socket path may have (unix(7): 108 with the closing NUL). */
const MAX_SOCKET_PATH = 107;

/**
 * Reads `13001` (loopback), `0.0.0.0:443`, `[::]:443`, `127.0.0.1:0` (any free port) or `unix:/path`.
 * Names are refused: what a process listens on must not depend on a resolver. Undefined when it is none of these.
 */
export function parseListenAddress(text: string): ListenAddress | undefined {
  if (text.startsWith("unix:/") && !text.includes("\0"))
    return { kind: "unix", path: text.slice("unix:".length) };
  const match = /^(?:(?:\[([^\]]+)\]|([0-9.]+)):)?(\d{1,5})$/.exec(text);
  if (!match) return undefined;
  const [, ipv6, ipv4, digits] = match;
  const port = Number(digits);
  if (port > 65_535 || (ipv6 !== undefined && !isIPv6(ipv6)) || (ipv4 !== undefined && !isIPv4(ipv4)))
    return undefined;
  return { kind: "tcp", host: ipv6 ?? ipv4 ?? "127.0.0.1", port };
}

/** Returns the address as an operator writes it. */
export function formatListenAddress(address: ListenAddress): string {
  switch (address.kind) {
    case "unix":
      return `unix:${address.path}`;
    case "fd":
      return `fd:${address.fd}${address.name === "" ? "" : ` (${address.name})`}`;
    case "tcp":
      return isIPv6(address.host) ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
  }
}

/** Returns the listening descriptors a supervisor passed to this very process (sd_listen_fds(3)); none when they were meant for another. */
export function inheritedListeners(env: Environment, pid: number): ListenAddress[] {
  const count = Number(env["LISTEN_FDS"] ?? "0");
  if (env["LISTEN_PID"] !== String(pid) || !Number.isInteger(count) || count < 1) return [];
  const names = (env["LISTEN_FDNAMES"] ?? "").split(":");
  return Array.from({ length: count }, (_, i) => ({
    kind: "fd",
    fd: FIRST_INHERITED_FD + i,
    name: names[i] ?? "",
  }));
}

/**
 * Returns the path to bind and connect to: over 107 octets the name is replaced, in the same directory, by 32 hex digits of the
 * SHA-256 of the whole path. Both tiers call this, so they agree without talking.
 */
export function usableSocketPath(path: string): string {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return path;
  return join(dirname(path), createHash("sha256").update(path).digest("hex").slice(0, 32));
}

export interface ListenOptions {
  /** Connections the kernel queues before `accept`; the kernel caps it at somaxconn. Default 4096. */
  readonly backlog?: number;
  /** IPv6 only: leave IPv4 to a listener of its own on the same port. Default false: `[::]` takes both. */
  readonly ipv6Only?: boolean;
}

/**
 * Makes the server listen. A unix socket that nothing answers on is removed first, one that something answers on is not; its mode becomes 0660,
 * for the directory's group is what tells who may connect.
 * @throws the system's error (EADDRINUSE, EACCES, …)
 */
export async function listen(
  server: Server,
  address: ListenAddress,
  options: ListenOptions = {},
): Promise<void> {
  const backlog = options.backlog ?? 4096;
  switch (address.kind) {
    case "fd":
      // Node listens again on what is given, and would shrink a socket unit's backlog to 511. It takes the number only in this place: as a
      // field beside `fd` it is passed over.
      return settle(server, () => server.listen({ fd: address.fd }, backlog));
    case "tcp":
      return settle(server, () =>
        server.listen({
          host: address.host,
          port: address.port,
          backlog,
          ipv6Only: options.ipv6Only ?? false,
        }),
      );
    case "unix": {
      const path = usableSocketPath(address.path);
      await removeStaleSocket(path);
      await settle(server, () => server.listen({ path, backlog }));
      return chmod(path, 0o660);
    }
  }
}

function settle(server: Server, start: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("listening", resolve).once("error", reject);
  start();
  return promise.finally(() => server.off("listening", resolve).off("error", reject));
}

async function removeStaleSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  // Anything but a socket stays: `listen` then says EADDRINUSE instead of us deleting somebody's file.
  if (!found?.isSocket() || (await isAnswered(path))) return;
  await unlink(path);
}

function isAnswered(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const probe = connect(path);
  probe.once("connect", () => resolve(true)).once("error", () => resolve(false));
  return promise.finally(() => probe.destroy());
}
