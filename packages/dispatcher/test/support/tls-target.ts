import { readProxyHeader, type ProxyHeader } from "@gatehouse/shared/proxy-header";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";

/** A real TLS server behind a PROXY header, as an instance is; it says its own name to whoever connects, and echoes. */
export interface TlsTarget {
  readonly route: string;
  /** Headers received, in order of connection. */
  readonly headers: ProxyHeader[];
  stop(): Promise<void>;
}

export interface TlsTargets {
  readonly ca: string;
  start(name: string, options?: { unix?: boolean; proxy?: "v2" | "v1" | "off" }): Promise<TlsTarget>;
  stop(): Promise<void>;
}

export async function openTlsTargets(): Promise<TlsTargets> {
  const directory = await mkdtemp(join(tmpdir(), "gh-tls-"));
  const authority = await createCertificateAuthority(directory);
  const targets: TlsTarget[] = [];
  return {
    ca: authority.caPem,
    start: async (name, { unix = false, proxy = "v2" } = {}) => {
      const { certPem, keyPem } = await authority.issue([name]);
      const options = { secureContext: tls.createSecureContext({ cert: certPem, key: keyPem }), name, proxy };
      const target = await startTarget(options, unix ? join(directory, `${name}.sock`) : undefined);
      targets.push(target);
      return target;
    },
    stop: async () => {
      await Promise.all(targets.map((target) => target.stop()));
      await rm(directory, { recursive: true, force: true });
    },
  };
}

interface TargetOptions {
  readonly secureContext: tls.SecureContext;
  readonly name: string;
  readonly proxy: "v2" | "v1" | "off";
}

async function startTarget(options: TargetOptions, path: string | undefined): Promise<TlsTarget> {
  const headers: ProxyHeader[] = [];
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    void serve(socket, options, headers);
  });
  if (path === undefined) server.listen(0, "127.0.0.1");
  else server.listen(path);
  await once(server, "listening");
  const address = server.address();
  const route = typeof address === "string" ? `unix:${address}` : String((address as net.AddressInfo).port);
  return {
    route: `${route};proxy=${options.proxy}`,
    headers,
    stop: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function serve(socket: net.Socket, options: TargetOptions, headers: ProxyHeader[]): Promise<void> {
  if (options.proxy !== "off") headers.push(await takeHeader(socket));
  const secure = new tls.TLSSocket(socket, { isServer: true, secureContext: options.secureContext });
  secure.on("error", () => undefined);
  secure.write(`this is ${options.name}\n`);
  secure.pipe(secure);
}

async function takeHeader(socket: net.Socket): Promise<ProxyHeader> {
  let bytes = Buffer.alloc(0);
  for (;;) {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) await once(socket, "readable");
    else bytes = Buffer.concat([bytes, chunk]);
    const read = readProxyHeader(bytes);
    if (read.kind === "malformed") throw new Error(read.problem);
    if (read.kind === "header") {
      socket.unshift(bytes.subarray(read.length));
      return read.header;
    }
  }
}

/** Connects with a real TLS stack, verifies the certificate and returns the first line; the socket is left open. */
export async function greet(
  options: tls.ConnectionOptions & { port: number },
): Promise<{ socket: tls.TLSSocket; line: string }> {
  const socket = tls.connect({ host: "127.0.0.1", ...options });
  await once(socket, "secureConnect");
  const [data] = (await once(socket, "data")) as [Buffer];
  return { socket: socket.on("error", () => undefined), line: data.toString() };
}

/** Connects with a real TLS stack and returns the alert it gets. */
export async function alertOf(options: tls.ConnectionOptions & { port: number }): Promise<string> {
  const socket = tls.connect({ host: "127.0.0.1", rejectUnauthorized: false, ...options });
  const [error] = (await once(socket, "error")) as [NodeJS.ErrnoException & { reason?: string }];
  socket.destroy();
  return error.code ?? error.message;
}
