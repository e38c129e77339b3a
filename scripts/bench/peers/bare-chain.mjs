// What Node's public API costs by itself where Gatehouse stands: the work of the HAProxy beside it (haproxy.ts), and no more. No limit, no
// deadline, no second target, no question to Redis, no metric; a hello or header that comes in pieces is beyond it.
//   node bare-chain.mjs dispatcher PORT|fd:3 SOCKET NAME [handle]      server name, route, PROXY v2 header, a line for each connection
//   node bare-chain.mjs instance SOCKET ORIGIN CERT KEY [ISSUER PUBLIC]  PROXY header, TLS, token, fields, a line for each request
import { AsyncLocalStorage } from "node:async_hooks";
import { createPublicKey, verify } from "node:crypto";
import { readFileSync, write } from "node:fs";
import { createServer as createTlsServer } from "node:https";
import { createRequire } from "node:module";
import { connect, createServer, Socket } from "node:net";

const { Pool } = createRequire(new URL("../../../packages/instance/package.json", import.meta.url))("undici");

const FLUSH_MS = 50;
const MAX_TOKENS = 10_000;
const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", "latin1");

let lines = "";
setInterval(() => {
  if (lines !== "") write(1, lines, () => undefined);
  lines = "";
}, FLUSH_MS);

const shared = Buffer.allocUnsafeSlow(65_536);

/** RFC 6066 section 3, in a hello of one record that came whole. */
function serverName(hello) {
  let at = 44 + hello[43];
  at += 2 + hello.readUInt16BE(at);
  at += 1 + hello[at];
  const end = at + 2 + hello.readUInt16BE(at);
  for (at += 2; at < end; at += 4 + hello.readUInt16BE(at + 2)) {
    if (hello.readUInt16BE(at) !== 0) continue;
    return hello.toString("latin1", at + 9, at + 9 + hello.readUInt16BE(at + 7));
  }
}

function proxyHeader({ remoteAddress, remotePort, localAddress, localPort }) {
  const header = Buffer.allocUnsafe(28);
  header.set(SIGNATURE);
  header.set(remoteAddress.split("."), 16);
  header.set(localAddress.split("."), 20);
  header.writeUInt16BE(remotePort, 24);
  header.writeUInt16BE(localPort, 26);
  return header;
}

/** Copies what was read out of the shared buffer and writes it; false stops the reading until the other side has drained. */
function passOn(socket, length) {
  const chunk = Buffer.allocUnsafe(length);
  shared.copy(chunk, 0, 0, length);
  return socket.write(chunk) || socket.writableLength === 0;
}

/** Connects to where the name of the hello leads, and sends the header and the hello there. */
function dial(routes, peer, hello) {
  const { remoteAddress, remotePort } = peer;
  const name = serverName(hello);
  const path = routes.get(name);
  if (path === undefined) return peer.destroy();
  const began = performance.now();
  const header = proxyHeader(peer);
  const onread = { buffer: shared, callback: (length) => passOn(peer, length) };
  const target = connect({ path, onread, allowHalfOpen: true, noDelay: true });
  target.on("error", () => peer.destroy());
  target.on("end", () => peer.end()).on("close", () => peer.destroy());
  target.once("connect", () => target.write(Buffer.concat([header, hello])));
  peer.on("drain", () => target.resume()).on("end", () => target.end());
  peer.on("close", () => {
    target.destroy();
    const ms = Math.round(performance.now() - began);
    lines += `${Date.now()} ${remoteAddress}:${remotePort} ${name} ${path} ${ms} ${peer.bytesRead} ${peer.bytesWritten}\n`;
  });
  return target;
}

/** What documented options allow: targets are read into one buffer, peers are not. */
function accept(peer, routes) {
  peer.on("error", () => peer.destroy());
  peer.once("data", (hello) => {
    peer.pause();
    const target = dial(routes, peer, hello);
    target.once("connect", () => {
      peer.on("data", (chunk) => {
        if (!target.write(chunk) && target.writableLength > 0) peer.pause();
      });
      peer.resume();
    });
    target.on("drain", () => peer.resume());
  });
}

/** With `handle`, which Node does not document, a peer is read into that buffer as well. */
function acceptHandle(accepted, routes) {
  const handle = accepted._handle;
  accepted._handle = null;
  let target;
  const callback = (length) => {
    if (target !== undefined) return passOn(target, length);
    target = dial(routes, peer, Buffer.from(shared.subarray(0, length)));
    target.once("connect", () => peer.resume());
    target.on("drain", () => peer.resume());
    return false;
  };
  const peer = new Socket({ handle, allowHalfOpen: true, onread: { buffer: shared, callback } });
  peer.on("error", () => peer.destroy());
}

function dispatcher(at, routes, isByHandle) {
  const options = { allowHalfOpen: true, noDelay: true, highWaterMark: 16_384, pauseOnConnect: isByHandle };
  const server = createServer(options, (socket) => (isByHandle ? acceptHandle : accept)(socket, routes));
  if (at.startsWith("fd:")) server.listen({ fd: Number(at.slice(3)) });
  else server.listen(Number(at), "127.0.0.1");
}

/** Returns what says who a request is from: undefined for one that may not go on. What was verified once is looked up. */
function tokenCheck(issuer, publicKey) {
  const key = createPublicKey(publicKey);
  const seen = new Map();
  const verified = (token) => {
    const [header, payload, signature] = token.split(".");
    if (readPart(header).alg !== "RS256") return undefined;
    const octets = Buffer.from(signature, "base64url");
    if (!verify("sha256", Buffer.from(`${header}.${payload}`), key, octets)) return undefined;
    const claims = readPart(payload);
    if (claims.iss !== issuer) return undefined;
    if (seen.size === MAX_TOKENS) seen.clear();
    seen.set(token, claims);
    return claims;
  };
  return ({ authorization = "" }) => {
    const token = authorization.slice("Bearer ".length);
    const claims = seen.get(token) ?? verified(token);
    return claims !== undefined && claims.exp > Date.now() / 1000 ? claims.sub : undefined;
  };
}

function readPart(base64url) {
  return JSON.parse(Buffer.from(base64url, "base64url").toString());
}

const HOP_BY_HOP = /^(?:connection|keep-alive|transfer-encoding)$/i;
const HOP_BY_HOP_OR_TOKEN = /^(?:connection|keep-alive|transfer-encoding|authorization)$/i;

function without(pattern, fields) {
  return fields.filter((_, at) => !pattern.test(fields[at - (at % 2)]));
}

function forward(pool, { request, response }, added) {
  let controller;
  response.once(
    "close",
    () => response.writableFinished || controller?.abort(new Error("the peer has left")),
  );
  response.on("drain", () => controller?.resume());
  const { method, url, rawHeaders, headers } = request;
  const hasBody = "transfer-encoding" in headers || Number(headers["content-length"] ?? 0) > 0;
  const handler = {
    onRequestStart: (given) => (controller = given),
    onResponseStart: (given, status) => {
      const fields = given.rawHeaders.map((part) => part.toString("latin1"));
      response.writeHead(status, without(HOP_BY_HOP, fields));
      if (!fields.some((field) => /^content-length$/i.test(field))) response.flushHeaders();
    },
    onResponseData: (given, chunk) => response.write(chunk) || given.pause(),
    onResponseEnd: () => response.end(),
    onResponseError: () => response.destroy(),
  };
  const kept = without(HOP_BY_HOP_OR_TOKEN, rawHeaders);
  kept.push(...added);
  pool.dispatch({ method, path: url, headers: kept, body: hasBody ? request : null }, handler);
}

function instance(path, origin, { userOf, ...certificate }) {
  const pool = new Pool(`http://127.0.0.1:${origin}`, { connections: 4096, pipelining: 1, bodyTimeout: 0 });
  const peerIp = new AsyncLocalStorage();
  const tls = createTlsServer({ ...certificate, keepAliveTimeout: 60_000 }, (request, response) => {
    const { method, url } = request;
    const ip = request.socket.peerIp;
    const began = performance.now();
    response.once("close", () => {
      const ms = Math.round(performance.now() - began);
      lines += `${Date.now()} ${ip} ${method} ${url} ${response.statusCode} ${ms}\n`;
    });
    const added = ["X-Forwarded-For", ip, "X-Forwarded-Proto", "https"];
    if (userOf !== undefined) {
      const user = userOf(request.headers);
      if (user === undefined) return void response.writeHead(401).end();
      added.push("X-Auth-User", user);
    }
    forward(pool, { request, response }, added);
  });
  tls.on("secureConnection", (socket) => (socket.peerIp = peerIp.getStore()));
  const behindHeader = (socket) => (chunk) => {
    socket.pause();
    if (!chunk.subarray(0, 14).equals(SIGNATURE.subarray(0, 14))) return socket.destroy();
    const rest = chunk.subarray(16 + chunk.readUInt16BE(14));
    if (rest.length > 0) socket.unshift(rest);
    peerIp.run(chunk.subarray(16, 20).join("."), () => tls.emit("connection", socket));
  };
  createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy()).once("data", behindHeader(socket));
  }).listen(path);
}

const [, , role, ...words] = process.argv;
if (role === "dispatcher") dispatcher(words[0], new Map([[words[2], words[1]]]), words[3] === "handle");
else {
  const [path, origin, cert, key, issuer, publicKey] = words;
  const userOf = issuer === undefined ? undefined : tokenCheck(issuer, readFileSync(publicKey));
  instance(path, origin, { cert: readFileSync(cert), key: readFileSync(key), userOf });
}
