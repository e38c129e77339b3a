// What Node's public API costs by itself where Gatehouse stands: no server name read, no PROXY header, no route, token, limit or record.
//   node bare-chain.mjs dispatcher PORT SOCKET [handle]   TCP on PORT to the unix socket
//   node bare-chain.mjs instance SOCKET ORIGIN CERT KEY   TLS on the unix socket, HTTP requests to the origin's port
import { readFileSync } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { createRequire } from "node:module";
import { connect, createServer, Socket } from "node:net";

const { Pool } = createRequire(new URL("../../../packages/instance/package.json", import.meta.url))("undici");

const shared = Buffer.allocUnsafeSlow(65_536);

/** Copies what was read out of the shared buffer and writes it; false stops the reading until the other side has drained. */
function passOn(socket, length) {
  const chunk = Buffer.allocUnsafe(length);
  shared.copy(chunk, 0, 0, length);
  return socket.write(chunk) || socket.writableLength === 0;
}

function dial(path, peer) {
  const onread = { buffer: shared, callback: (length) => passOn(peer, length) };
  const target = connect({ path, onread, allowHalfOpen: true, noDelay: true });
  target.on("error", () => peer.destroy());
  target.on("end", () => peer.end()).on("close", () => peer.destroy());
  peer.on("drain", () => target.resume()).on("end", () => target.end());
  peer.on("close", () => target.destroy());
  return target;
}

/** What documented options allow: targets are read into one buffer, peers are not. */
function accept(peer, path) {
  peer.on("error", () => peer.destroy());
  peer.once("data", (first) => {
    peer.pause();
    const target = dial(path, peer);
    target.once("connect", () => {
      target.write(first);
      peer.on("data", (chunk) => {
        if (!target.write(chunk) && target.writableLength > 0) peer.pause();
      });
      peer.resume();
    });
    target.on("drain", () => peer.resume());
  });
}

/** With `handle`, which Node does not document, a peer is read into that buffer as well. */
function acceptHandle(accepted, path) {
  const handle = accepted._handle;
  accepted._handle = null;
  let target;
  const callback = (length) => {
    if (target !== undefined) return passOn(target, length);
    const first = Buffer.from(shared.subarray(0, length));
    target = dial(path, peer);
    target.once("connect", () => {
      target.write(first);
      peer.resume();
    });
    target.on("drain", () => peer.resume());
    return false;
  };
  const peer = new Socket({ handle, allowHalfOpen: true, onread: { buffer: shared, callback } });
  peer.on("error", () => peer.destroy());
}

function dispatcher(port, path, isByHandle) {
  const options = { allowHalfOpen: true, noDelay: true, highWaterMark: 16_384, pauseOnConnect: isByHandle };
  createServer(options, (socket) => (isByHandle ? acceptHandle : accept)(socket, path)).listen(
    port,
    "127.0.0.1",
  );
}

function withoutHopFields(fields) {
  return fields.filter(
    (_, at) => !/^(?:connection|keep-alive|transfer-encoding)$/i.test(fields[at - (at % 2)]),
  );
}

function instance(path, origin, { cert, key }) {
  const pool = new Pool(`http://127.0.0.1:${origin}`, { connections: 4096, pipelining: 1, bodyTimeout: 0 });
  const server = createTlsServer({ cert, key, keepAliveTimeout: 60_000 }, (request, response) => {
    let controller;
    response.once(
      "close",
      () => response.writableFinished || controller?.abort(new Error("the peer has left")),
    );
    response.on("drain", () => controller?.resume());
    const { method, url, rawHeaders, headers } = request;
    const hasBody = "transfer-encoding" in headers || Number(headers["content-length"] ?? 0) > 0;
    const kept = rawHeaders.filter(
      (_, at) => !/^(?:connection|transfer-encoding)$/i.test(rawHeaders[at - (at % 2)]),
    );
    const handler = {
      onRequestStart: (given) => (controller = given),
      onResponseStart: (given, status) => {
        const fields = given.rawHeaders.map((part) => part.toString("latin1"));
        response.writeHead(status, withoutHopFields(fields));
        if (!fields.some((field) => /^content-length$/i.test(field))) response.flushHeaders();
      },
      onResponseData: (given, chunk) => response.write(chunk) || given.pause(),
      onResponseEnd: () => response.end(),
      onResponseError: () => response.destroy(),
    };
    pool.dispatch({ method, path: url, headers: kept, body: hasBody ? request : null }, handler);
  });
  server.listen(path);
}

const [, , role, ...words] = process.argv;
if (role === "dispatcher") dispatcher(Number(words[0]), words[1], words[2] === "handle");
else instance(words[0], words[1], { cert: readFileSync(words[2]), key: readFileSync(words[3]) });
