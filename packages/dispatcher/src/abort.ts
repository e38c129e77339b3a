import type { Socket } from "node:net";

/**
 * Resets a TCP connection: its other end sees ECONNRESET instead of an orderly end. Data not yet sent is dropped. Idempotent; does
 * nothing to a destroyed socket. Not for unix sockets, which have no reset and on which Node throws.
 */
export function abortTcp(socket: Socket): void {
  if (socket.destroyed) return;
  // libuv refuses to reset (EINVAL) while a shutdown is under way, and Node then loses the handle: no `close`, one descriptor leaked.
  // The shutdown is under way from the last flushed byte to `finish`, within one turn of the loop.
  const isShuttingDown = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isShuttingDown) socket.once("finish", () => abortTcp(socket));
  else socket.resetAndDestroy();
}
