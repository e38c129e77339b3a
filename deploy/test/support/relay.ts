import { once } from "node:events";
import { connect, createServer, type AddressInfo, type NetConnectOpts, type Socket } from "node:net";

/** Makes something that only loopback reaches reachable on another address. */
export interface Relay {
  readonly port: number;
  /** Addresses of the peers so far, in the order in which they came. */
  readonly peers: readonly string[];
  close(): Promise<void>;
}

/** Accepts on an address of this machine, on any free port, and copies both ways. */
export async function startRelay(address: string, to: NetConnectOpts): Promise<Relay> {
  const peers: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((near) => {
    peers.push(near.remoteAddress ?? "");
    const far = connect(to);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket);
      socket
        .on("error", () => undefined)
        .on("close", () => {
          open.delete(socket);
          other.destroy();
        });
      socket.pipe(other);
    }
  });
  server.listen(0, address);
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    peers,
    close: async () => {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, "close");
    },
  };
}
