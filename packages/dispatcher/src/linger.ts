import type { Socket } from "node:net";
import type { Sweep, Swept } from "./sweep.ts";

/** Milliseconds that a refused peer has for reading its answer and closing. */
const LINGER_MS = 2000;
/** Octets that are discarded meanwhile. */
const LINGER_BYTES = 64 * 1024;

/**
 * Sends the last bytes and closes without losing them: a socket closed with unread data resets the connection, and the reset makes the
 * peer's kernel drop an alert that was not read yet. So only our direction is ended, and what still arrives is discarded, bounded by time and
 * bytes. Settles when the socket is closed. Never rejects.
 */
export function lingerAndClose(peer: Socket, last: Buffer | undefined, sweep: Sweep): Promise<void> {
  if (peer.destroyed) return Promise.resolve();
  const { promise, resolve } = Promise.withResolvers<void>();
  const deadline = performance.now() + LINGER_MS;
  const watch: Swept = { sweep: (now) => void (now > deadline && peer.destroy()) };
  const place = sweep.add(watch);
  let discarded = 0;
  peer
    .on("data", (chunk: Buffer) => {
      discarded += chunk.length;
      if (discarded > LINGER_BYTES) peer.destroy();
    })
    .once("close", () => {
      sweep.delete(place);
      resolve();
    });
  if (last === undefined) peer.destroy();
  else peer.end(last).resume();
  return promise;
}
