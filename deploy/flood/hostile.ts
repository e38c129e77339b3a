import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { randomBytes } from "node:crypto";

/** What hostile connections do, one kind after the other. */
export const HOSTILE_KINDS = [
  "silent",
  "half a hello",
  "unknown name",
  "garbage",
  "hello, then nothing",
  "handshake, then half a header",
  "wrong bearer token",
  "wrong refresh token",
] as const;
export type HostileKind = (typeof HOSTILE_KINDS)[number];

/** In which order they come: those that cost nobody anything are most of them. */
export const SEQUENCE: readonly HostileKind[] = [
  ...HOSTILE_KINDS,
  ...Array.from({ length: 3 }, () => ["silent", "half a hello"] as const).flat(),
  "hello, then nothing",
  "handshake, then half a header",
];

export interface HostileTarget {
  readonly port: number;
  /** A protected host. */
  readonly hostname: string;
}

/** Octets of real hellos, taken from Node's own stack. */
export interface Hellos {
  readonly known: Buffer;
  readonly unknown: Buffer;
}

export async function captureHellos(hostname: string): Promise<Hellos> {
  return { known: await capture(hostname), unknown: await capture("nobody.invalid") };
}

async function capture(servername: string): Promise<Buffer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const peer = connectTls({ host: "127.0.0.1", port, servername, rejectUnauthorized: false });
  peer.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  const [hello] = (await once(socket, "data")) as [Buffer];
  socket.on("error", () => undefined).destroy();
  peer.destroy();
  server.close();
  return hello;
}

/** Connects from that address, does what its kind does, and holds on to the connection. What comes back is read and thrown away. */
export function attack(
  kind: HostileKind,
  localAddress: string,
  { port, hostname, hellos }: HostileTarget & { readonly hellos: Hellos },
): Socket {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  const host = `${hostname}:${port}`;
  switch (kind) {
    case "silent":
      break;
    case "half a hello":
      socket.write(hellos.known.subarray(0, hellos.known.length / 2));
      break;
    case "unknown name":
      socket.write(hellos.unknown);
      break;
    case "garbage":
      socket.write(randomBytes(300));
      break;
    case "hello, then nothing":
      socket.write(hellos.known);
      break;
    case "handshake, then half a header":
      return secured(socket, hostname, `GET /hello HTTP/1.1\r\nHost: ${host}\r\nX-Slow: `);
    case "wrong bearer token":
      return secured(
        socket,
        hostname,
        `GET /hello HTTP/1.1\r\nHost: ${host}\r\nAuthorization: Bearer ${madeUp()}\r\n\r\n`,
      );
    case "wrong refresh token":
      return secured(socket, hostname, refreshRequest(host));
  }
  return socket;
}

/** With errors heard on both: what is wrapped says of its own what went wrong. */
function secured(socket: Socket, servername: string, request: string): TLSSocket {
  socket.on("error", () => undefined);
  const tls = connectTls({ socket, servername, rejectUnauthorized: false });
  tls.once("secureConnect", () => tls.write(request));
  return tls;
}

function refreshRequest(host: string): string {
  const body = `grant_type=refresh_token&client_id=${madeUp()}&refresh_token=${madeUp()}`;
  const head = `POST /token HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/x-www-form-urlencoded`;
  return `${head}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
}

function madeUp(): string {
  return randomBytes(32).toString("base64url");
}
