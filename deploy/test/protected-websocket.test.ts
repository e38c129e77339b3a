/** WebSockets on a protected host: an upgrade is a request like any other, and what it opened is a stream. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { Agent } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { decodeJwt } from "jose";
import { WebSocket, WebSocketServer } from "ws";
import { Claude } from "./support/claude.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";

const HOST = "socket-oauth.localhost";
const TIMEOUT_MS = 60_000;

let upstream: Server;
let upstreamUrl: string;
let bed: ProtectedGatehouse;
/** Upgrades that reached the upstream. */
const upgrades: IncomingMessage[] = [];

beforeAll(async () => {
  upstream = createServer();
  const echo = new WebSocketServer({ server: upstream });
  echo.on("connection", (socket, request) => {
    upgrades.push(request);
    socket.on("message", (message: Buffer) => socket.send(`echo ${message.toString()}`));
  });
  upstream.listen(0, "127.0.0.1");
  await once(upstream, "listening");
  upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  bed = await ProtectedGatehouse.start([{ hostname: HOST, upstreamUrl }]);
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
  upstream?.closeAllConnections();
  upstream?.close();
});

async function token(login: string): Promise<string> {
  const claude = new Claude(bed.fetch, bed.origin(HOST));
  await claude.register();
  return (await claude.authorize((url) => bed.logIn(url, login), bed.origin(HOST))).access_token;
}

function open(authorization?: string): WebSocket {
  const { port, caPem } = bed.gatehouse;
  const headers = { "x-auth-user": "root", ...(authorization === undefined ? {} : { authorization }) };
  const agent = new Agent({
    ca: caPem,
    servername: HOST,
    lookup: (_name, _options, found) => found(null, [{ address: "127.0.0.1", family: 4 }]),
  });
  const socket = new WebSocket(`wss://${HOST}:${port}/socket`, { agent, headers });
  // Expected here and there; each test looks at what it waits for.
  socket.on("error", () => undefined);
  return socket;
}

async function refusal(socket: WebSocket): Promise<IncomingMessage> {
  const [, response] = (await once(socket, "unexpected-response")) as [unknown, IncomingMessage];
  response.resume();
  return response;
}

test("without a token it is a 401 with a challenge, and nothing reaches the upstream", async () => {
  const before = upgrades.length;
  const { statusCode, headers } = await refusal(open());
  expect(statusCode).toBe(401);
  expect(headers["www-authenticate"]).toMatch(/^Bearer scope="user", resource_metadata="https:/);
  expect((await refusal(open("Bearer nonsense"))).statusCode).toBe(401);
  expect(upgrades).toHaveLength(before);
});

test("with one it is carried, with the identity and without the token", async () => {
  const socket = open(`Bearer ${await token("hubot")}`);
  await once(socket, "open");
  socket.send("hello");
  const [message] = (await once(socket, "message")) as [Buffer];
  expect(message.toString()).toBe("echo hello");
  expect(upgrades.at(-1)?.headers).toMatchObject({ "x-auth-user": "hubot", "x-auth-scopes": "user mcp" });
  expect(upgrades.at(-1)?.headers).not.toHaveProperty("authorization");
  socket.terminate();
});

test.each([
  [
    "its token is revoked",
    async (accessToken: string) => {
      await bed.gatehouse.store.del(`oauth:token:${decodeJwt(accessToken).jti}`);
    },
  ],
  [
    "its user is struck off the list",
    async () => {
      await bed.configure({ hostname: HOST, upstreamUrl, config: { auth_required_users: ["hubot"] } });
    },
  ],
])("it ends within a second when %s, and those of others go on", async (_why, revoke) => {
  const [mine, theirs] = [await token("octocat"), await token("hubot")];
  const [socket, other] = [open(`Bearer ${mine}`), open(`Bearer ${theirs}`)];
  await Promise.all([once(socket, "open"), once(other, "open")]);
  const closed = once(socket, "close");
  const began = performance.now();
  await revoke(mine);
  await closed;
  expect(performance.now() - began).toBeLessThan(1000);
  other.send("still here");
  const [message] = (await once(other, "message")) as [Buffer];
  expect(message.toString()).toBe("echo still here");
  other.terminate();
});
