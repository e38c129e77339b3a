import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import tls from "node:tls";
import fc from "fast-check";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { findOnPath } from "@gatehouse/testbed/program-search";
import { ClientHelloReader, type HelloRead } from "../src/client-hello.ts";
import {
  EXTENSION,
  alpn,
  captureNodeHello,
  captureProgramHello,
  extension,
  hello,
  messageOf,
  portOf,
  recordsCutAt,
  recordsOf,
  serverName,
} from "./support/hello-bytes.ts";
import { canonicalName, inSevenBits } from "./support/tls-stack.ts";

const NAME = "simple-oauth.example.com";
const LONG_NAME = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(50)}.example`;

interface Peer {
  readonly name: string | undefined;
  readonly alpn?: readonly string[];
  readonly capture: () => Promise<Buffer>;
}

const node = (options: tls.ConnectionOptions) => () => captureNodeHello(options);
const openssl =
  (...args: string[]) =>
  () =>
    captureProgramHello("openssl", (port) => ["s_client", "-connect", `127.0.0.1:${port}`, ...args]);
const curl =
  (host: string, ...args: string[]) =>
  () =>
    captureProgramHello("curl", (port) => [
      `https://${host}:${port}/`,
      "--silent",
      "--noproxy",
      "*",
      "--resolve",
      `${NAME}:${port}:127.0.0.1`,
      ...args,
    ]);

const NODE_PEERS: Readonly<Record<string, Peer>> = {
  "Node, TLS 1.2 and 1.3": { name: NAME, capture: node({ servername: NAME }) },
  "Node with ALPN": {
    name: NAME,
    alpn: ["h2", "http/1.1"],
    capture: node({ servername: NAME, ALPNProtocols: ["h2", "http/1.1"] }),
  },
  "Node, TLS 1.2 only": { name: NAME, capture: node({ servername: NAME, maxVersion: "TLSv1.2" }) },
  "Node, upper case": { name: "www.example.com", capture: node({ servername: "WWW.Example.COM" }) },
  "Node, trailing dot": { name: NAME, capture: node({ servername: `${NAME}.` }) },
  "Node, 253 octets of name": { name: LONG_NAME, capture: node({ servername: LONG_NAME }) },
  "Node without name": { name: undefined, capture: node({}) },
  "Node that resumes a session": {
    name: NAME,
    capture: async () => captureNodeHello({ servername: NAME, session: await lostSession() }),
  },
};
const OPENSSL_PEERS: Readonly<Record<string, Peer>> = {
  "openssl s_client": { name: NAME, capture: openssl("-servername", NAME) },
  "openssl s_client, TLS 1.2": { name: NAME, capture: openssl("-servername", NAME, "-tls1_2") },
  "openssl s_client, TLS 1.0": {
    name: NAME,
    capture: openssl("-servername", NAME, "-tls1", "-cipher", "ALL:@SECLEVEL=0"),
  },
  "openssl s_client with ALPN": {
    name: NAME,
    alpn: ["acme-tls/1"],
    capture: openssl("-servername", NAME, "-alpn", "acme-tls/1"),
  },
  "openssl s_client without name": { name: undefined, capture: openssl("-noservername") },
  "openssl s_client with an IP literal": { name: undefined, capture: openssl("-servername", "192.0.2.7") },
};
const CURL_PEERS: Readonly<Record<string, Peer>> = {
  curl: { name: NAME, alpn: ["h2", "http/1.1"], capture: curl(NAME) },
  "curl, HTTP/1.1 over TLS 1.2": {
    name: NAME,
    alpn: ["http/1.1"],
    capture: curl(NAME, "--http1.1", "--tls-max", "1.2"),
  },
  "curl to an address": { name: undefined, alpn: ["h2", "http/1.1"], capture: curl("127.0.0.1") },
};
const hasOpenssl = findOnPath("openssl") !== undefined;
const hasCurl = findOnPath("curl") !== undefined;
/** Short, so that most changes to it hit a length or the name, and yet good enough for a real server to go on with. */
const BY_HAND = "a TLS 1.2 hello made by hand";
const MADE_PEERS: Readonly<Record<string, Peer>> = {
  [BY_HAND]: {
    name: NAME,
    alpn: ["h2"],
    capture: () =>
      Promise.resolve(
        hello({
          sessionId: Buffer.alloc(0),
          extensions: [
            alpn("h2"),
            extension(EXTENSION.supportedGroups, Buffer.from("00020017", "hex")),
            serverName(NAME),
            extension(EXTENSION.signatureAlgorithms, Buffer.from("00020403", "hex")),
          ],
        }),
      ),
  },
};
const PEERS = { ...MADE_PEERS, ...NODE_PEERS, ...(hasOpenssl && OPENSSL_PEERS), ...(hasCurl && CURL_PEERS) };

/** What a real TLS server made of a stream. */
interface ServerView {
  /** The record type of its first answer: 22 a handshake, 21 an alert; undefined when it closed without a word. */
  readonly answer: number | undefined;
  readonly name: string | undefined;
  readonly alpn: readonly string[];
}

/** Node's own TLS server, asked one stream at a time. */
class RealServer {
  readonly #server: tls.Server;
  #name: string | undefined;
  #alpn: readonly string[] = [];

  constructor(credentials: { cert: string; key: string }) {
    this.#server = tls.createServer({
      ...credentials,
      minVersion: "TLSv1",
      ciphers: "ALL:@SECLEVEL=0",
      SNICallback: (name, done) => {
        this.#name = name;
        done(null);
      },
      ALPNCallback: ({ protocols }) => {
        this.#alpn = protocols;
        return protocols[0];
      },
    });
    this.#server.on("tlsClientError", () => {}); // most streams are broken on purpose
    this.#server.on("secureConnection", (socket) => socket.on("error", () => {}));
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
  }

  get port(): number {
    return portOf(this.#server);
  }

  close(): void {
    this.#server.close();
  }

  /** Sends the stream, ends, and waits for the first answer or the close. */
  async see(stream: Buffer): Promise<ServerView> {
    this.#name = undefined;
    this.#alpn = [];
    const socket = net.connect({ host: "127.0.0.1", port: this.port, allowHalfOpen: true });
    socket.on("error", () => {}); // a reset is one way to refuse
    socket.end(stream);
    const answer = await new Promise<number | undefined>((resolve) => {
      socket.once("data", (chunk) => resolve(chunk[0]));
      socket.once("end", () => resolve(undefined));
      socket.once("close", () => resolve(undefined));
    });
    socket.destroy();
    return { answer, name: this.#name, alpn: this.#alpn };
  }
}

/** A session of a server that is gone: its ticket makes the next hello longer, and no other server can resume it. */
async function lostSession(): Promise<Buffer> {
  const gone = new RealServer(credentials);
  await gone.listen();
  const socket = tls.connect({
    host: "127.0.0.1",
    port: gone.port,
    servername: NAME,
    rejectUnauthorized: false,
  });
  const [session] = (await once(socket, "session")) as [Buffer];
  socket.destroy();
  gone.close();
  return session;
}

let server: RealServer;
let credentials: { cert: string; key: string };
let directory: string;
const hellos = new Map<string, Buffer>();

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "hello-"));
  const authority = await createCertificateAuthority(directory);
  const { certPem, keyPem } = await authority.issue([NAME]);
  credentials = { cert: certPem, key: keyPem };
  server = new RealServer(credentials);
  await server.listen();
  await Promise.all(
    Object.entries(PEERS).map(async ([peer, { capture }]) => hellos.set(peer, await capture())),
  );
}, 60_000);

afterAll(async () => {
  server.close();
  await rm(directory, { recursive: true });
});

function helloOf(peer: string): Buffer {
  const captured = hellos.get(peer);
  if (captured === undefined) throw new Error(`no hello of ${peer} was captured`);
  return captured;
}

function read(...segments: readonly Buffer[]): HelloRead {
  const reader = new ClientHelloReader();
  return segments.map((segment) => reader.push(segment)).at(-1) ?? { kind: "incomplete" };
}

describe.each(Object.entries(PEERS))("%s", (peer, { name, alpn: protocols = [] }) => {
  test("its hello is read, and Node's server sees the same name and protocols", async () => {
    const stream = helloOf(peer);
    expect(read(stream)).toEqual({
      kind: "hello",
      serverName: name,
      alpn: protocols,
      hasEch: false,
      length: stream.length,
    });
    const seen = await server.see(stream);
    expect({ ...seen, name: canonicalName(seen.name) }).toEqual({ answer: 22, name, alpn: protocols });
  });

  test("row 1: cut at every octet into two segments", () => {
    const stream = helloOf(peer);
    const whole = JSON.stringify(read(stream));
    const wrong: number[] = [];
    for (let cut = 0; cut <= stream.length; cut++) {
      if (JSON.stringify(read(stream.subarray(0, cut), stream.subarray(cut))) !== whole) wrong.push(cut);
    }
    expect(wrong).toEqual([]);
  });

  test("row 2: its handshake message cut at every octet into two records", () => {
    const whole = messageOf(helloOf(peer));
    const expected = JSON.stringify({ ...read(helloOf(peer)), length: whole.length + 10 });
    const wrong: number[] = [];
    for (let cut = 1; cut < whole.length; cut++) {
      if (JSON.stringify(read(recordsCutAt(whole, [cut]))) !== expected) wrong.push(cut);
    }
    expect(wrong).toEqual([]);
  });

  test("row 2: in small records, as Node's server reads it too", async () => {
    const whole = messageOf(helloOf(peer));
    for (const size of [1, 3, 100]) {
      const stream = recordsOf(whole, size);
      expect(read(stream)).toEqual({ ...read(helloOf(peer)), length: stream.length });
      const seen = await server.see(stream);
      expect({ ...seen, name: canonicalName(seen.name) }).toEqual({ answer: 22, name, alpn: protocols });
    }
  });
});

test("row 3: this Node's hello offers X25519MLKEM768 and is longer than one segment", () => {
  expect(helloOf("Node, TLS 1.2 and 1.3").length).toBeGreaterThan(1_460);
  expect(helloOf("Node that resumes a session").length).toBeGreaterThan(1_700);
});

test("row 36: a real handshake with HelloRetryRequest is read up to its first hello", async () => {
  // The server takes P-384 only, the peer guesses P-256: the server asks for a second hello.
  const picky = tls.createServer({ ...credentials, ecdhCurve: "P-384" });
  picky.on("secureConnection", (socket) => socket.on("error", () => {}));
  picky.listen(0, "127.0.0.1");
  await once(picky, "listening");
  const stream = await recordStream(portOf(picky), { servername: NAME, ecdhCurve: "P-256:P-384" });
  picky.close();

  const first = 5 + stream.readUInt16BE(3);
  const handshakeMessages = recordsIn(stream).filter((record) => record[0] === 22 && record[5] === 1);
  expect(handshakeMessages).toHaveLength(2);
  expect(read(stream)).toEqual({ kind: "hello", serverName: NAME, alpn: [], hasEch: false, length: first });
  expect(
    read(stream.subarray(0, 100), stream.subarray(100, first + 50), stream.subarray(first + 50)),
  ).toEqual(read(stream));
});

test("row 12: whatever real hello is broken in whatever way, a name we report is the one Node's server sees", async () => {
  const change = fc.record({
    at: fc.noBias(fc.nat(99_999)).map((number) => number / 100_000),
    drop: fc.integer({ min: 0, max: 2 }),
    insert: fc.uint8Array({ maxLength: 2 }),
  });
  const outcomes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(
      fc.oneof(fc.constant(BY_HAND), fc.constantFrom(...Object.keys(PEERS))),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      async (peer, changes) => {
        let stream = helloOf(peer);
        for (const { at, drop, insert } of changes) {
          const offset = Math.floor(at * stream.length);
          stream = Buffer.concat([stream.subarray(0, offset), insert, stream.subarray(offset + drop)]);
        }
        const ours = read(stream);
        const theirs = await server.see(stream);
        const outcome = `${ours.kind === "refused" ? ours.reason : ours.kind}, ${theirs.answer}`;
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        if (theirs.answer !== 22) return;
        // The server went on with this hello: then so do we, unless its name is none, and with the same name.
        const expected = canonicalName(theirs.name);
        if (expected === "bad") expect(ours).toMatchObject({ reason: "bad_name" });
        else expect(ours).toMatchObject({ kind: "hello", serverName: expected });
        if (ours.kind === "hello") expect(inSevenBits(ours.alpn)).toEqual(theirs.alpn);
      },
    ),
    { numRuns: 800 },
  );
  expect(outcomes.get("hello, 22")).toBeGreaterThan(20);
}, 60_000);

function recordsIn(stream: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at < stream.length;) {
    const end = at + 5 + stream.readUInt16BE(at + 3);
    records.push(stream.subarray(at, end));
    at = end;
  }
  return records;
}

/** The octets a real peer sends in a whole handshake with the server at `port`, recorded on the way. */
async function recordStream(port: number, peer: tls.ConnectionOptions): Promise<Buffer> {
  const chunks: Buffer[] = [];
  const relay = net.createServer((socket) => {
    const onward = net.connect({ host: "127.0.0.1", port });
    socket.on("data", (chunk) => chunks.push(chunk));
    for (const end of [socket, onward]) end.on("error", () => {}); // torn down without ceremony
    socket.pipe(onward).pipe(socket);
  });
  relay.listen(0, "127.0.0.1");
  await once(relay, "listening");
  const socket = tls.connect({ ...peer, host: "127.0.0.1", port: portOf(relay), rejectUnauthorized: false });
  await once(socket, "secureConnect");
  socket.destroy();
  relay.close();
  return Buffer.concat(chunks);
}
