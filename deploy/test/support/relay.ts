import { once } from "node:events";
import { connect, createServer, type AddressInfo, type NetConnectOpts, type Socket } from "node:net";
import { Transform } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";

/** Makes something that only loopback reaches reachable on another address. */
export interface Relay {
  readonly port: number;
  /** Addresses of the peers so far, in the order in which they came. */
  readonly peers: readonly string[];
  /** Milliseconds by which what is passed on, either way, is late from now on. Default 0. */
  delayMs: number;
  close(): Promise<void>;
}

export interface RelayOptions {
  /** Default: any free one. */
  readonly port?: number;
}

/** Accepts on an address of this machine and copies both ways. */
export async function startRelay(
  address: string,
  to: NetConnectOpts,
  { port = 0 }: RelayOptions = {},
): Promise<Relay> {
  const peers: string[] = [];
  const open = new Set<Socket>();
  const relay = { delayMs: 0 };
  // Each direction ends by itself, behind what is still under way in it.
  const server = createServer({ allowHalfOpen: true }, (near) => {
    peers.push(near.remoteAddress ?? "");
    const far = connect({ ...to, allowHalfOpen: true });
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      open.add(socket);
      socket
        .on("error", () => undefined)
        .on("close", (isBroken) => {
          open.delete(socket);
          if (isBroken) other.destroy();
        });
      socket.pipe(lateness(relay)).pipe(other);
    }
  });
  server.listen(port, address);
  await once(server, "listening");
  return Object.assign(relay, {
    port: (server.address() as AddressInfo).port,
    peers,
    close: async () => {
      server.close();
      for (const socket of open) socket.destroy();
      await once(server, "close");
    },
  });
}

/** Passes octets on in order, each chunk as late as `delayMs` said when it came. */
function lateness(relay: { readonly delayMs: number }): Transform {
  let passed = Promise.resolve();
  const passAt = async (due: number, before: Promise<void>, pass: () => void): Promise<void> => {
    await before;
    const leftMs = due - performance.now();
    if (leftMs > 0) await delay(leftMs);
    pass();
  };
  return new Transform({
    transform(chunk: Buffer, _encoding, next) {
      passed = passAt(performance.now() + relay.delayMs, passed, () => this.push(chunk));
      next();
    },
    flush(done) {
      void passAt(0, passed, done);
    },
  });
}
