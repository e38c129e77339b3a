import { spawn } from "node:child_process";
import { once } from "node:events";
import net from "node:net";
import tls from "node:tls";

/** Hellos for tests: built octet by octet, also wrong ones, or captured from the real stacks of this machine. */

export const EXTENSION = {
  serverName: 0,
  supportedGroups: 10,
  signatureAlgorithms: 13,
  alpn: 16,
  ech: 0xfe0d,
  grease: 0x0a0a,
} as const;

/** An integer of `width` octets, big-endian. */
export function uint(value: number, width: number): Buffer {
  const octets = Buffer.alloc(width);
  octets.writeUIntBE(value, 0, width);
  return octets;
}

/** A vector: its length in `width` octets, then its content; `claimed` lies about the length. */
export function vector(content: Buffer, width: number, claimed = content.length): Buffer {
  return Buffer.concat([uint(claimed, width), content]);
}

export function extension(type: number, data: Buffer): Buffer {
  return Buffer.concat([uint(type, 2), vector(data, 2)]);
}

/** One entry of a ServerNameList; text stands for its octets as latin1. */
export function nameEntry(name: string, type = 0): Buffer {
  return Buffer.concat([uint(type, 1), vector(Buffer.from(name, "latin1"), 2)]);
}

export function serverName(...names: readonly string[]): Buffer {
  return serverNameList(...names.map((name) => nameEntry(name)));
}

export function serverNameList(...entries: readonly Buffer[]): Buffer {
  return extension(EXTENSION.serverName, vector(Buffer.concat(entries), 2));
}

export function alpn(...names: readonly string[]): Buffer {
  const list = Buffer.concat(names.map((name) => vector(Buffer.from(name, "latin1"), 1)));
  return extension(EXTENSION.alpn, vector(list, 2));
}

export interface HelloParts {
  readonly version?: number;
  readonly sessionId?: Buffer;
  readonly cipherSuites?: Buffer;
  readonly compressionMethods?: Buffer;
  /** Undefined: the hello ends before the extensions, as SSL 3.0 hellos do. */
  readonly extensions?: readonly Buffer[] | undefined;
}

/** The body of a ClientHello message (RFC 8446 section 4.1.2). */
export function helloBody(parts: HelloParts = {}): Buffer {
  const extensions = "extensions" in parts ? parts.extensions : [serverName("a.example")];
  return Buffer.concat([
    uint(parts.version ?? 0x0303, 2),
    Buffer.alloc(32, 0x5a),
    vector(parts.sessionId ?? Buffer.alloc(32, 0xa5), 1),
    vector(parts.cipherSuites ?? Buffer.from("13011302c02b", "hex"), 2),
    vector(parts.compressionMethods ?? Buffer.from([0]), 1),
    extensions === undefined ? Buffer.alloc(0) : vector(Buffer.concat(extensions), 2),
  ]);
}

/** A handshake message; type 1 is client_hello. */
export function message(body: Buffer, type = 1): Buffer {
  return Buffer.concat([uint(type, 1), vector(body, 3)]);
}

/** One TLS record. */
export function record(fragment: Buffer, { type = 22, version = 0x0301 } = {}): Buffer {
  return Buffer.concat([uint(type, 1), uint(version, 2), vector(fragment, 2)]);
}

/** The message in records cut at these offsets, which rise; two equal ones make an empty record. */
export function recordsCutAt(whole: Buffer, cuts: readonly number[]): Buffer {
  const ends = [...cuts, whole.length];
  return Buffer.concat(ends.map((end, i) => record(whole.subarray(i === 0 ? 0 : ends[i - 1], end))));
}

/** The message in records of `size` octets each. */
export function recordsOf(whole: Buffer, size: number): Buffer {
  return recordsCutAt(
    whole,
    Array.from({ length: Math.ceil(whole.length / size) - 1 }, (_, i) => (i + 1) * size),
  );
}

/** A whole hello in one record. */
export function hello(parts: HelloParts = {}): Buffer {
  return record(message(helloBody(parts)));
}

/** The handshake message inside a flight of handshake records. */
export function messageOf(flight: Buffer): Buffer {
  const fragments: Buffer[] = [];
  for (let at = 0; at < flight.length;) {
    const end = at + 5 + flight.readUInt16BE(at + 3);
    fragments.push(flight.subarray(at + 5, end));
    at = end;
  }
  return Buffer.concat(fragments);
}

/** The stream in segments cut at these offsets, each in memory of its own, as sockets deliver it. */
export function segmentsCutAt(stream: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts, stream.length];
  return ends.map((end, i) => Buffer.from(stream.subarray(i === 0 ? 0 : ends[i - 1], end)));
}

/** How long a peer on this machine may take to send its hello, in milliseconds. */
const CAPTURE_DEADLINE_MS = 15_000;

/**
 * Returns the record with the hello that a peer sends to a fresh loopback listener: `connect` makes it connect there and
 * returns how to stop it. The listener never answers.
 */
async function captureHello(connect: (port: number) => () => void): Promise<Buffer> {
  const server = net.createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = connect(portOf(server));
  try {
    const signal = AbortSignal.timeout(CAPTURE_DEADLINE_MS);
    const [socket] = (await once(server, "connection", { signal })) as [net.Socket];
    socket.setTimeout(CAPTURE_DEADLINE_MS, () => socket.destroy(new Error("no hello came")));
    return await firstRecord(socket);
  } finally {
    stop();
    server.close();
  }
}

async function firstRecord(socket: net.Socket): Promise<Buffer> {
  let flight = Buffer.alloc(0);
  for await (const chunk of socket) {
    flight = Buffer.concat([flight, chunk as Buffer]);
    const end = flight.length < 5 ? Infinity : 5 + flight.readUInt16BE(3);
    if (flight.length >= end) return flight.subarray(0, end);
  }
  throw new Error("the peer closed before its hello was whole");
}

export function portOf(server: net.Server): number {
  return (server.address() as net.AddressInfo).port;
}

/** The hello of this very Node: over 1,460 octets, for it offers X25519MLKEM768. */
export function captureNodeHello(options: tls.ConnectionOptions): Promise<Buffer> {
  return captureHello((port) => {
    const socket = tls.connect({ ...options, host: "127.0.0.1", port });
    socket.on("error", () => {}); // no answer ever comes
    return () => socket.destroy();
  });
}

/** The hello of a program that connects to the port its arguments are made for. */
export function captureProgramHello(program: string, args: (port: number) => string[]): Promise<Buffer> {
  return captureHello((port) => {
    const child = spawn(program, args(port), { stdio: ["pipe", "ignore", "ignore"] });
    child.on("error", () => {}); // the deadline reports a program that does not start
    child.stdin.on("error", () => {});
    return () => child.kill("SIGKILL");
  });
}
