import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { connect as connectHttp2, type ClientHttp2Session, type IncomingHttpHeaders } from "node:http2";
import { connect, type AddressInfo, type Socket } from "node:net";
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from "node:tls";
import type { LogRecord } from "@gatehouse/shared/log-record";
import type { RecordSink } from "@gatehouse/shared/record-log";
import { writeProxyHeader } from "@gatehouse/shared/proxy-header";
import { newSecretKey } from "@gatehouse/shared/sealing";
import {
  createCertificateAuthority,
  type CertificateAuthority,
} from "@gatehouse/testbed/certificate-authority";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Redis } from "ioredis";
import { until } from "@gatehouse/testbed/until";
import { startInstance, type Instance, type Surroundings } from "../../src/instance.ts";

export const HOSTNAME = "a.example";
/** What the PROXY headers of these tests say. */
export const PEER = {
  source: { ip: "192.0.2.7", port: 40_000 },
  destination: { ip: "198.51.100.1", port: 443 },
};
export const HEADER = writeProxyHeader("v2", { addresses: PEER, hops: 0 });

/** One Redis, one authority and one upstream for a test file; instances are started on it. */
export interface Bed {
  readonly redis: PrivateRedis;
  readonly store: Redis;
  readonly authority: CertificateAuthority;
  readonly directory: string;
  readonly secretKey: string;
  readonly upstream: Upstream;
  /** Writes the host config: the upstream, `certificate: file`, and what is given. */
  configure(config?: Record<string, unknown>): Promise<void>;
  start(env?: Record<string, string>, parts?: Pick<Surroundings, "documents" | "clock">): Promise<Front>;
  close(): Promise<void>;
}

export async function openBed(): Promise<Bed> {
  const directory = await mkdtemp("/tmp/gatehouse-front-");
  const [redis, authority, upstream] = await Promise.all([
    startPrivateRedis(),
    createCertificateAuthority(`${directory}/ca`),
    startUpstream(),
  ]);
  const { certPath, keyPath } = await authority.issue([HOSTNAME]);
  const store = new Redis({ path: redis.socketPath });
  store.on("error", () => undefined); // tests that stop Redis know that it is away
  const secretKey = newSecretKey();
  const fronts: Front[] = [];
  const bed: Bed = {
    redis,
    store,
    authority,
    directory,
    secretKey,
    upstream,
    configure: async (config = {}) => {
      await store.set(
        `proxy:${HOSTNAME}`,
        JSON.stringify({ target_url: upstream.url, certificate: "file", ...config }),
      );
    },
    start: async (env = {}, parts = {}) => {
      const records: LogRecord[] = [];
      const instance = await startInstance({
        env: {
          GATEHOUSE_HOSTNAME: HOSTNAME,
          REDIS_URL: redis.url,
          GATEHOUSE_SECRET_KEY: secretKey,
          GATEHOUSE_INSTANCE_LISTEN: "127.0.0.1:0",
          GATEHOUSE_CERTIFICATE_FILE: certPath,
          GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath,
          GATEHOUSE_INSTANCE_DRAIN_SECONDS: "0",
          GATEHOUSE_INSTANCE_ADMIN_LISTEN: "127.0.0.1:0",
          ...env,
        },
        pid: process.pid,
        ...parts,
        sinks: [sinkInto(records)],
      });
      const front = new Front(instance, records, authority.caPem);
      fronts.push(front);
      return front;
    },
    close: async () => {
      await Promise.all(fronts.map((front) => front.stop()));
      store.disconnect();
      upstream.close();
      await redis.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
  await bed.configure();
  return bed;
}

/** Keeps records as they are. */
function sinkInto(records: LogRecord[]): RecordSink {
  return {
    name: "test",
    open: () => {
      let count = 0;
      return {
        bytes: 0,
        get count() {
          return count;
        },
        add: (record) => {
          count += 1;
          records.push(record);
        },
      };
    },
    write: () => Promise.resolve(),
  };
}

interface Upstream {
  readonly url: string;
  readonly server: Server;
  /** Requests as they arrived. */
  readonly seen: IncomingMessage[];
  /** Answers by path; others get 200 and the path. */
  readonly answers: Map<string, RequestListener>;
  close(): void;
}

async function startUpstream(): Promise<Upstream> {
  const seen: IncomingMessage[] = [];
  const answers = new Map<string, RequestListener>();
  const server = createServer((request, response) => {
    seen.push(request);
    const answer = answers.get(request.url ?? "");
    if (answer) answer(request, response);
    else response.end(`upstream ${request.url}`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    server,
    seen,
    answers,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

export interface PeerOptions extends ConnectionOptions {
  /** Bytes in front of the ClientHello. */
  readonly header?: Buffer;
}

/** A running instance, and peers that reach it as a dispatcher would bring them. */
export class Front {
  readonly instance: Instance;
  readonly records: LogRecord[];
  readonly #caPem: string;
  #isStopped = false;

  constructor(instance: Instance, records: LogRecord[], caPem: string) {
    this.instance = instance;
    this.records = records;
    this.#caPem = caPem;
  }

  /** A plain connection to the instance. */
  async open(): Promise<Socket> {
    const [address = ""] = this.instance.addresses;
    const unix = /^unix:(.*)$/.exec(address)?.[1];
    const socket =
      unix === undefined ? connect(Number(address.split(":").at(-1)), "127.0.0.1") : connect(unix);
    socket.on("error", () => undefined);
    await once(socket, "connect");
    return socket;
  }

  /** A TLS connection behind a PROXY header; rejects when the handshake fails. */
  async connect(options: PeerOptions = {}): Promise<TLSSocket> {
    const { header = HEADER, ...tls } = options;
    const socket = await this.open();
    socket.write(header);
    const secured = connectTls({ socket, servername: HOSTNAME, ca: this.#caPem, ...tls });
    await once(secured, "secureConnect");
    secured.on("error", () => undefined);
    return secured;
  }

  /** Sends one raw HTTP/1.1 request on a connection of its own and returns the whole answer. */
  async raw(request: string, options: PeerOptions = {}): Promise<string> {
    const socket = await this.connect({ ALPNProtocols: ["http/1.1"], ...options });
    socket.write(request);
    const answer = await wholeAnswer(socket);
    socket.destroy();
    return answer;
  }

  /** GET on a connection of its own: status and body. */
  async get(path = "/", options: PeerOptions = {}): Promise<{ status: number; body: string }> {
    const answer = await this.raw(
      `GET ${path} HTTP/1.1\r\nHost: ${HOSTNAME}\r\nConnection: close\r\n\r\n`,
      options,
    );
    return { status: statusOf(answer), body: answer.slice(answer.indexOf("\r\n\r\n") + 4) };
  }

  async http2(options: PeerOptions = {}): Promise<ClientHttp2Session> {
    const socket = await this.connect({ ALPNProtocols: ["h2"], ...options });
    const session = connectHttp2(`https://${HOSTNAME}`, { createConnection: () => socket });
    session.on("error", () => undefined);
    return session;
  }

  /** The health page. */
  async health(): Promise<{ status: number; report: Record<string, unknown> }> {
    const response = await fetch(`${this.instance.adminUrl}/health`);
    return { status: response.status, report: (await response.json()) as Record<string, unknown> };
  }

  /** The first record that fits, waiting for it. */
  async record(fits: (record: LogRecord) => boolean): Promise<LogRecord> {
    return until(() => this.records.find(fits));
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    await this.instance.drain();
  }
}

/** Reads until a whole HTTP/1.1 response is there or the connection ends. */
export async function wholeAnswer(socket: Socket): Promise<string> {
  let text = "";
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    text += String(chunk);
    if (isWhole(text)) break;
  }
  return text;
}

function isWhole(text: string): boolean {
  const end = text.indexOf("\r\n\r\n");
  if (end === -1 || statusOf(text) < 200) return false;
  const head = text.slice(0, end).toLowerCase();
  const length = /\r\ncontent-length: (\d+)/.exec(head)?.[1];
  if (length !== undefined) return text.length >= end + 4 + Number(length);
  return head.includes("chunked") ? text.endsWith("0\r\n\r\n") : statusOf(text) === 204;
}

export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}

/** Everything a connection sends until it closes. */
export async function untilClosed(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  if (!socket.closed) await once(socket, "close");
  return Buffer.concat(chunks);
}

/** One HTTP/2 request without a body. */
export async function ask(
  session: ClientHttp2Session,
  headers: IncomingHttpHeaders,
): Promise<{ status: number; body: string; headers: IncomingHttpHeaders }> {
  const stream = session.request({ ":authority": HOSTNAME, ":path": "/", ...headers });
  stream.setEncoding("utf8");
  const [answer] = (await once(stream, "response")) as [IncomingHttpHeaders];
  let body = "";
  for await (const chunk of stream) body += String(chunk);
  return { status: Number(answer[":status"]), body, headers: answer };
}
