import { mkdtemp, rm } from "node:fs/promises";
import { once } from "node:events";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A target that does what the test's handler says with the bytes it gets; no TLS, half-open allowed. */
export interface RawTarget {
  /** As a route value names it. */
  readonly route: string;
  readonly sockets: net.Socket[];
  /** Waits for the connection with this index. */
  socket(index?: number): Promise<net.Socket>;
  stop(): Promise<void>;
}

export type TargetKind = "tcp" | "unix";

export async function startRawTarget(
  kind: TargetKind,
  onConnection: (socket: net.Socket) => void = () => undefined,
): Promise<RawTarget> {
  const directory = kind === "unix" ? await mkdtemp(join(tmpdir(), "gh-target-")) : undefined;
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    sockets.push(socket);
    onConnection(socket);
    server.emit("taken");
  });
  server.setMaxListeners(0); // one waiter per expected connection
  const sockets: net.Socket[] = [];
  if (directory === undefined) server.listen(0, "127.0.0.1");
  else server.listen(join(directory, "t.sock"));
  await once(server, "listening");
  const address = server.address();
  return {
    route: typeof address === "string" ? `unix:${address}` : String((address as net.AddressInfo).port),
    sockets,
    socket: async (index = 0) => {
      for (;;) {
        const socket = sockets[index];
        if (socket) return socket;
        await once(server, "taken");
      }
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
      if (directory !== undefined) await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Reads exactly `length` octets, or what comes before the end. */
export async function readBytes(socket: net.Socket, length: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for (let got = 0; got < length && !socket.readableEnded && !socket.destroyed;) {
    const chunk: Buffer | null = socket.read(Math.min(length - got, Math.max(1, socket.readableLength)));
    if (chunk === null) {
      await moreOrOver(socket);
      continue;
    }
    chunks.push(chunk);
    got += chunk.length;
  }
  return Buffer.concat(chunks);
}

function moreOrOver(socket: net.Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const over = (): void => {
    socket.off("readable", over).off("end", over).off("close", over);
    resolve();
  };
  socket.on("readable", over).on("end", over).on("close", over);
  return promise;
}

/** Connects and swallows later errors; they are looked at through {@link closeOf}. */
export async function connectTo(port: number, host = "127.0.0.1"): Promise<net.Socket> {
  const socket = net.connect({ port, host, allowHalfOpen: true });
  await once(socket, "connect");
  return socket.on("error", () => undefined);
}

/** How a socket came to its end, and what was read up to there. Call at once after connecting. */
export interface SocketEnd {
  readonly bytes: Buffer;
  readonly how: "closed" | "reset";
  readonly code: string | undefined;
}

/** Reads everything; ends its own side when the other one does. */
export async function closeOf(socket: net.Socket): Promise<SocketEnd> {
  const chunks: Buffer[] = [];
  let code: string | undefined;
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.on("end", () => socket.end());
  socket.on("error", (error: NodeJS.ErrnoException) => (code = error.code));
  if (!socket.destroyed) await new Promise((resolve) => socket.once("close", resolve));
  return { bytes: Buffer.concat(chunks), how: code === undefined ? "closed" : "reset", code };
}
