/** The shim stands between the runner and what is judged, so it may change nothing but what its rules say. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createSecureServer, type Http2SecureServer, type Http2ServerRequest } from "node:http2";
import { connect, type AddressInfo, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { createCertificateAuthority } from "@gatehouse/testbed/certificate-authority";
import { openLocalhostShim, type LocalhostShim, type ShimOptions } from "./localhost-shim.ts";

const HOSTNAME = "gateway.example";

let directory: string;
let gateway: Http2SecureServer;
let caPem: string;
let port: number;
let shim: LocalhostShim | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "shim-"));
  const authority = await createCertificateAuthority(directory);
  const { certPem, keyPem } = await authority.issue([HOSTNAME]);
  ({ caPem } = authority);
  gateway = createSecureServer({ cert: certPem, key: keyPem, allowHTTP1: true });
  gateway.listen(0, "127.0.0.1");
  await once(gateway, "listening");
  ({ port } = gateway.address() as AddressInfo);
});

afterEach(async () => {
  gateway.removeAllListeners("request");
  await shim?.close();
});

afterAll(async () => {
  gateway?.close();
  await rm(directory, { recursive: true });
});

async function openShim(options: Partial<ShimOptions> = {}): Promise<Socket> {
  shim = await openLocalhostShim({ hostname: HOSTNAME, port, caPem, protocol: "http/1.1", ...options });
  const socket = connect(Number(new URL(shim.url).port), "127.0.0.1");
  await once(socket, "connect");
  return socket.setEncoding("latin1");
}

/** Sends a request head through the shim and returns the fields that the gateway got, as name and value by turns. */
async function headersAtGateway(head: string[], options: Partial<ShimOptions> = {}): Promise<string[]> {
  const socket = await openShim(options);
  const arrived = once(gateway, "request") as Promise<[Http2ServerRequest, { end(): void }]>;
  socket.write(`${head.join("\r\n")}\r\n\r\n`);
  const [request, response] = await arrived;
  response.end();
  socket.destroy();
  return request.rawHeaders;
}

describe("over HTTP/1.1", () => {
  test("a Host and an Origin of localhost become the gateway's", async () => {
    const headers = await headersAtGateway([
      "POST /mcp HTTP/1.1",
      "Host: localhost:4711",
      "Origin: http://localhost:4711",
      "Content-Length: 0",
    ]);
    expect(headers.slice(0, 6)).toEqual([
      "Host",
      `${HOSTNAME}:${port}`,
      "Origin",
      `https://${HOSTNAME}:${port}`,
      "Content-Length",
      "0",
    ]);
  });

  test("any other Host and Origin pass as they are", async () => {
    const headers = await headersAtGateway([
      "GET /mcp HTTP/1.1",
      "Host: evil.example.com",
      "Origin: http://evil.example.com",
    ]);
    expect(headers.slice(0, 4)).toEqual(["Host", "evil.example.com", "Origin", "http://evil.example.com"]);
  });

  test("letter case, order and repetition are kept; what belongs to one connection is not", async () => {
    const headers = await headersAtGateway([
      "GET / HTTP/1.1",
      "MCP-METHOD: tools/list",
      "Connection: close",
      "Keep-Alive: timeout=1",
      "mcp-Param-a: 1",
      "Host: localhost",
      "mcp-Param-a: 2",
    ]);
    expect(headers.slice(0, 8)).toEqual([
      "MCP-METHOD",
      "tools/list",
      "mcp-Param-a",
      "1",
      "Host",
      `${HOSTNAME}:${port}`,
      "mcp-Param-a",
      "2",
    ]);
    expect(headers.join("\n")).not.toMatch(/timeout=1|^close$/im);
  });

  test.each([
    { sent: [], seen: ["Authorization", "Bearer ours"] },
    { sent: ["authorization: Bearer theirs"], seen: ["authorization", "Bearer theirs"] },
  ])("a token is added only where there is none: $sent", async ({ sent, seen }) => {
    const head = ["GET / HTTP/1.1", "Host: localhost", ...sent];
    const headers = await headersAtGateway(head, { authorization: "Bearer ours" });
    expect(headers.slice(2, 4)).toEqual(seen);
    expect(headers.filter((field) => /^authorization$/i.test(field))).toHaveLength(1);
  });
});

describe.each(["http/1.1", "h2"] as const)("over %s", (protocol) => {
  test("both bodies stream, and a peer that leaves is noticed by the gateway", async () => {
    const socket = await openShim({ protocol });
    const closed = Promise.withResolvers<void>();
    gateway.on("request", (request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream", "x-protocol": request.httpVersion });
      // Each part of the answer waits for a part of the question: neither side can be collecting.
      request.on("data", (part: Buffer) => response.write(`data: ${part.toString()}\n\n`));
      response.on("close", () => closed.resolve());
    });
    socket.write("POST /mcp HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (const part of ["one", "two"]) {
      socket.write(`3\r\n${part}\r\n`);
      await until(socket, `data: ${part}\n\n`);
    }
    socket.destroy();
    await closed.promise;
  });

  test("status, repeated fields and the body of an answer come through", async () => {
    const socket = await openShim({ protocol });
    gateway.on("request", (_request, response) => {
      response.writeHead(404, { "set-cookie": ["a=1", "b=2"], "mcp-session-id": "s" });
      response.end("nothing here");
    });
    socket.write("GET /mcp HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const answer = await until(socket, "nothing here");
    expect(answer).toMatch(/^HTTP\/1\.1 404 /);
    expect(answer.match(/^set-cookie: [ab]=[12]\r$/gim)).toHaveLength(2);
    expect(answer).toMatch(/^mcp-session-id: s\r$/im);
    socket.destroy();
  });
});

/** Reads until the text has arrived; the test's own deadline bounds the wait. */
async function until(socket: Socket, text: string): Promise<string> {
  let received = "";
  for await (const [part] of onData(socket)) {
    received += part;
    if (received.includes(text)) return received;
  }
  throw new Error(`the shim closed before ${JSON.stringify(text)}: ${received}`);
}

async function* onData(socket: Socket): AsyncGenerator<[string]> {
  while (!socket.destroyed) {
    const ready: unknown = socket.read();
    if (typeof ready === "string") yield [ready];
    else await once(socket, "readable");
  }
}
