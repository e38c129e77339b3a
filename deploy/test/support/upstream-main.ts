// An upstream as a process of its own, so that it can be killed: prints its port (the argument; any without one), then serves until it is ended.
import { createHash, randomFillSync, type Hash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";

const CHUNK_BYTES = 64 * 1024;
/** The same random octets again and again: incompressible, and cheap enough that the upstream is never the bottleneck. */
const chunk = randomFillSync(Buffer.alloc(CHUNK_BYTES));

/** Returns part `index` of a download: a shared random chunk stamped with its position, so that a swap or a repeat changes the hash. */
function stamped(index: number, bytes: number): Buffer {
  const part = Buffer.from(chunk.subarray(0, bytes));
  part.writeDoubleBE(index, 0);
  return part;
}

/** What the last complete download hashed to. */
let lastDownload = "";

/** Streams open right now, by the `name` of their query: what a test asks to learn that an abort arrived. */
const openStreams = new Map<string, number>();

const server = createServer((request, response) => {
  const url = new URL(request.url ?? "/", "http://upstream");
  const handler = handlers[url.pathname];
  if (handler) void handler({ request, response, query: url.searchParams });
  else response.writeHead(404).end();
});

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
}

const handlers: Record<string, (exchange: Exchange) => void | Promise<void>> = {
  "/hello": ({ request, response }) => {
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ headers: request.headers, url: request.url }));
  },
  "/download": ({ response, query }) => download(response, Number(query.get("bytes"))),
  "/upload": ({ request, response }) => upload(request, response),
  "/stream": (exchange) => stream(exchange),
  "/last-download": ({ response }) => void response.end(lastDownload),
  "/open-streams": ({ response, query }) => {
    response.end(String(openStreams.get(query.get("name") ?? "") ?? 0));
  },
};

async function download(response: ServerResponse, bytes: number): Promise<void> {
  const hash = createHash("sha256");
  response.writeHead(200, { "content-length": bytes });
  await pipeline(downloadParts(bytes, hash), response).catch(() => undefined); // the peer left: that is what some tests do
  if (response.writableFinished) lastDownload = hash.digest("hex");
}

function* downloadParts(bytes: number, hash: Hash): Generator<Buffer> {
  for (let index = 0; index * CHUNK_BYTES < bytes; index++) {
    const part = stamped(index, Math.min(CHUNK_BYTES, bytes - index * CHUNK_BYTES));
    hash.update(part);
    yield part;
  }
}

async function upload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    hash.update(part);
    bytes += part.length;
  }
  response.end(JSON.stringify({ bytes, sha256: hash.digest("hex") }));
}

function stream({ response, query }: Exchange): void {
  const name = query.get("name") ?? "";
  const intervalMs = Number(query.get("interval_ms") ?? "50");
  response.writeHead(200, { "content-type": "text/event-stream" });
  response.write("data: 0\n\n");
  let count = 0;
  const timer = setInterval(() => response.write(`data: ${++count}\n\n`), intervalMs);
  openStreams.set(name, (openStreams.get(name) ?? 0) + 1);
  response.on("close", () => {
    clearInterval(timer);
    openStreams.set(name, (openStreams.get(name) ?? 1) - 1);
  });
}

server.listen(Number(process.argv[2] ?? "0"), "127.0.0.1");
await once(server, "listening");
process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
// Ends with the test that started it: its stdin closes then.
process.stdin.resume().on("close", () => process.exit(0));
