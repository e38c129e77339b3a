import { once } from "node:events";
import * as http from "node:http";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import type { ChainableCommander } from "ioredis";
import { WebSocket, WebSocketServer } from "ws";
import { clientKey, tokenKey } from "@gatehouse/shared/redis-keys";
import { until } from "@gatehouse/testbed/until";
import { startUpstream } from "./forward-harness.ts";
import { endlessStream, ProtectedHost } from "./support/protected-host.ts";

/** "Within a second" (contract sections 3 and 4), with room for a machine whose cores are busy. */
const SOON_MS = 1000;

let host: ProtectedHost;
let sockets: WebSocketServer;
beforeAll(async () => {
  host = await ProtectedHost.start();
  sockets = new WebSocketServer({ server: host.upstream.server });
  sockets.on("connection", (socket) => socket.send("hello"));
});
afterAll(async () => {
  for (const socket of sockets.clients) socket.terminate();
  await host.stop();
});
beforeEach(() => {
  host.configure();
  host.answers.clear();
  host.answers.set("/mcp", endlessStream);
  host.answers.set("/api", endlessStream);
  host.answers.set("/open", endlessStream);
});

interface OpenStream {
  readonly ended: Promise<"end" | "cut">;
  readonly isOpen: () => boolean;
  readonly close: () => void;
}

async function openStream(token: string | undefined, path = "/mcp"): Promise<OpenStream> {
  const headers = {
    host: "app.example",
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
  };
  const request = http.get({ host: "127.0.0.1", port: host.h1Port, path, headers, agent: false });
  const [response] = (await once(request, "response")) as [http.IncomingMessage];
  expect(response.statusCode).toBe(200);
  await once(response, "data");
  let isOpen = true;
  const ended = new Promise<"end" | "cut">((resolve) => {
    response.on("end", () => resolve("end"));
    response.on("error", () => resolve("cut"));
    response.on("close", () => resolve("cut"));
  });
  void ended.then(() => (isOpen = false));
  response.resume();
  return { ended, isOpen: () => isOpen, close: () => request.destroy() };
}

async function openSocket(token: string, path = "/ws"): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${host.h1Port}${path}`, {
    headers: { host: "app.example", authorization: `Bearer ${token}` },
  });
  await once(socket, "message");
  return socket;
}

async function soon(promise: Promise<unknown>): Promise<number> {
  const started = performance.now();
  await promise;
  return performance.now() - started;
}

async function refusedSoon(token: string, path = "/mcp"): Promise<number> {
  const started = performance.now();
  host.answers.clear();
  while ((await host.ask(path, { token })).status === 200) {
    if (performance.now() - started > 10_000) throw new Error("never refused");
  }
  return performance.now() - started;
}

describe("a revoked token (its record is deleted)", () => {
  test("is refused within a second though it was remembered, and only it", async () => {
    const token = await host.mint({ claims: { jti: "gone" } });
    const sibling = await host.mint();
    host.answers.clear();
    expect((await host.ask("/mcp", { token })).status).toBe(200);
    expect((await host.ask("/mcp", { token: sibling })).status).toBe(200);
    await host.redis.del(tokenKey("gone"));
    expect(await refusedSoon(token)).toBeLessThan(SOON_MS);
    host.records.length = 0;
    await host.ask("/mcp", { token });
    expect((await host.lastRecord(1)).reason).toBe("invalid_token: revoked (RFC 6750 3.1)");
    expect((await host.ask("/mcp", { token: sibling })).status).toBe(200);
  });

  test("takes its open streams along, in order, and nobody else's", async () => {
    const token = await host.mint({ claims: { jti: "streaming" } });
    const [own, other] = [await openStream(token), await openStream(await host.mint())];
    const socket = await openSocket(token);
    const left = once(socket, "close");
    await host.redis.del(tokenKey("streaming"));
    expect(await soon(Promise.all([own.ended, left]))).toBeLessThan(SOON_MS);
    expect(await own.ended).toBe("end");
    expect(other.isOpen()).toBe(true);
    other.close();
  });

  test("an HTTP/2 stream as well", async () => {
    const token = await host.mint({ claims: { jti: "h2" } });
    const { answer } = host.h2.open({ ":path": "/mcp", authorization: `Bearer ${token}` });
    await until(() => answer.body.includes("first"));
    await host.redis.del(tokenKey("h2"));
    await until(() => answer.isEnded);
  });

  test("a call that has not begun to answer yields no stream afterwards; one that answers at once is finished", async () => {
    const token = await host.mint({ claims: { jti: "slow" } });
    const arrived = Promise.withResolvers<http.ServerResponse>();
    host.answers.set("/mcp", (_request, response) => arrived.resolve(response));
    const asked = host.ask("/mcp", { token });
    const response = await arrived.promise;
    await host.redis.del(tokenKey("slow"));
    await refusedSoon(token);
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: too late\n\n");
    expect((await asked).text).toBe("");
    const fine = await host.mint({ claims: { jti: "plain" } });
    const plain = Promise.withResolvers<http.ServerResponse>();
    host.answers.set("/mcp", (_request, answer) => plain.resolve(answer));
    const plainAsked = host.ask("/mcp", { token: fine });
    const answer = await plain.promise;
    await host.redis.del(tokenKey("plain"));
    await refusedSoon(fine);
    answer.end("done");
    expect((await plainAsked).text).toBe("done");
  });

  test("streams on a token that was forgotten here are still ended", async () => {
    const small = await ProtectedHost.start({}, { maxTokens: 1 });
    try {
      small.answers.set("/mcp", endlessStream);
      const token = await small.mint({ claims: { jti: "forgotten" } });
      const { answer } = small.h2.open({ ":path": "/mcp", authorization: `Bearer ${token}` });
      await until(() => answer.body.includes("first"));
      await small.ask("/other", { token: await small.mint() });
      await small.redis.del(tokenKey("forgotten"));
      await until(() => answer.isEnded);
    } finally {
      await small.stop();
    }
  });
});

test("a token that simply ends leaves its answers to finish", async () => {
  const token = await host.mint({ lifetime: 2, claims: { jti: "short" } });
  const stream = await openStream(token);
  const deadline = performance.now() + 10_000;
  while ((await host.redis.exists(tokenKey("short"))) === 1 && performance.now() < deadline) await tick();
  expect((await host.ask("/other", { token })).status).toBe(401);
  expect(stream.isOpen()).toBe(true);
  stream.close();
});

test("a deleted client takes its tokens and streams along; a client that is a document has no record to lose", async () => {
  await host.addClient("client_leaving");
  const token = await host.mint({ clientId: "client_leaving" });
  const document = await host.mint({ clientId: "https://client.example/metadata.json" });
  const [leaving, staying] = [await openStream(token), await openStream(document)];
  await host.redis.del(clientKey("client_leaving"));
  expect(await soon(leaving.ended)).toBeLessThan(SOON_MS);
  expect(await refusedSoon(token)).toBeLessThan(SOON_MS);
  expect(staying.isOpen()).toBe(true);
  staying.close();
});

test("a client record that is merely written, as at each of its tokens, changes nothing", async () => {
  await host.addClient("client_busy");
  const token = await host.mint({ clientId: "client_busy" });
  const stream = await openStream(token);
  for (let i = 0; i < 20; i += 1) await host.addClient("client_busy");
  host.answers.clear();
  expect((await host.ask("/mcp", { token })).status).toBe(200);
  expect(stream.isOpen()).toBe(true);
  stream.close();
});

describe("a changed host config", () => {
  test("ends the streams of a user who may not log in any more, and nobody else's", async () => {
    const octocat = await openStream(await host.mint());
    const hubot = await openStream(await host.mint({ sub: "hubot", uid: "github:480938" }));
    host.configure({ auth_required_users: ["octocat"] });
    expect(await soon(hubot.ended)).toBeLessThan(SOON_MS);
    expect(octocat.isOpen()).toBe(true);
    octocat.close();
  });

  test("ends streams that need a scope which is given no more", async () => {
    const token = await host.mint();
    const [api, mcp] = [await openStream(token, "/api"), await openStream(token)];
    host.configure({ oauth_user_users: [] });
    expect(await soon(api.ended)).toBeLessThan(SOON_MS);
    expect(mcp.isOpen()).toBe(true);
    mcp.close();
  });

  test("ends streams on paths that are open no more, and from before the host was protected", async () => {
    host.configure({ auth_excluded_paths: ["/open"] });
    const excluded = await openStream(undefined, "/open");
    host.configure();
    expect(await soon(excluded.ended)).toBeLessThan(SOON_MS);
    host.configure({ auth_enabled: false });
    const open = await openStream(undefined, "/open");
    host.configure();
    expect(await soon(open.ended)).toBeLessThan(SOON_MS);
  });

  test("that changes nothing for a stream leaves it alone", async () => {
    const stream = await openStream(await host.mint());
    const socket = await openSocket(await host.mint());
    host.configure({
      scope_rules: [{ methods: ["DELETE"], scope: "admin" }],
      auth_excluded_paths: ["/health"],
    });
    await tick();
    expect([stream.isOpen(), socket.readyState]).toEqual([true, WebSocket.OPEN]);
    stream.close();
    socket.terminate();
  });
});

describe("what changes while a body is awaited that has to be looked at", () => {
  const rules = { scope_rules: [{ tool: "delete_*", scope: "admin" }] };
  const text = JSON.stringify({
    jsonrpc: "2.0",
    id: 1,
    method: "tools/call",
    params: { name: "get_weather" },
  });

  /** Sends all but the last octet, lets something happen, then sends that. */
  async function slowly(token: string, meanwhile: () => Promise<void> | void): Promise<number> {
    host.configure(rules);
    host.answers.clear();
    host.seen.length = 0;
    const headers = {
      host: "app.example",
      authorization: `Bearer ${token}`,
      "content-length": text.length,
      expect: "100-continue",
    };
    const request = http.request({
      host: "127.0.0.1",
      port: host.h1Port,
      path: "/mcp",
      method: "POST",
      headers,
    });
    const answered = once(request, "response") as Promise<[http.IncomingMessage]>;
    const begun = once(request, "continue");
    request.write(text.slice(0, -1));
    // Its head has arrived. Once the same token was judged on another connection, it was judged here, too.
    await begun;
    await host.ask("/mcp", { token });
    await meanwhile();
    request.end(text.slice(-1));
    const [response] = await answered;
    response.resume();
    expect(host.seen.filter(({ body }) => body === text)).toHaveLength(response.statusCode === 200 ? 1 : 0);
    return response.statusCode ?? 0;
  }

  test("nothing: it passes", async () => {
    expect(await slowly(await host.mint(), () => undefined)).toBe(200);
  });

  test("the token is revoked: it does not pass", async () => {
    const token = await host.mint({ claims: { jti: "late" } });
    const status = await slowly(token, async () => {
      await host.redis.del(tokenKey("late"));
      await refusedSoon(token);
    });
    expect(status).toBe(401);
  });

  test("a rule is added that it was not looked at for: it is to come again", async () => {
    const status = await slowly(await host.mint(), () =>
      host.configure({ scope_rules: [...rules.scope_rules, { tool: "get_*", scope: "admin" }] }),
    );
    expect(status).toBe(503);
  });

  test("the config, but not what holds for it: it passes", async () => {
    const status = await slowly(await host.mint(), () =>
      host.configure({ ...rules, custom_headers: { "X-New": "1" } }),
    );
    expect(status).toBe(200);
  });

  test("the user is taken off the list: it does not pass", async () => {
    const status = await slowly(await host.mint(), () =>
      host.configure({ ...rules, auth_required_users: [] }),
    );
    expect(status).toBe(401);
  });
});

describe("a rule about messages that is added", () => {
  const rules = { scope_rules: [{ tool: "delete_*", scope: "admin" }] };

  test("ends a WebSocket on the endpoint, and no event stream", async () => {
    host.configure();
    const token = await host.mint();
    const socket = await openSocket(token, "/mcp");
    const stream = await openStream(token);
    const closed = once(socket, "close");
    host.configure(rules);
    await closed;
    expect(stream.isOpen()).toBe(true);
    stream.close();
  });

  test("ends a request that is still arriving, but none whose answer has begun, and none that a config without new rules finds", async () => {
    const heard: string[] = [];
    const upstream = await startUpstream((request, response) => {
      heard.push("begun");
      if (request.headers["x-early"] !== undefined) response.writeHead(200).write("early");
      request.resume().on("end", () => response.end("whole"));
    });
    const config = { target_url: upstream.url };
    host.configure(config);
    const token = await host.mint();
    const held = async (headers: Record<string, string> = {}): Promise<HeldRequest> => {
      const before = heard.length;
      const request = http.request({
        port: host.h1Port,
        path: "/mcp",
        method: "POST",
        headers: { host: "app.example", authorization: `Bearer ${token}`, "content-length": "4", ...headers },
      });
      const answered = once(request, "response") as Promise<[http.IncomingMessage]>;
      request.write("xx");
      await until(() => heard.length > before);
      return { request, answered };
    };
    const [waiting, early] = [await held(), await held({ "x-early": "1" })];
    host.configure({ ...config, custom_headers: { "X-New": "1" } });
    const [begun] = await early.answered;
    host.configure({ ...config, ...rules });
    const [refused] = await waiting.answered;
    expect(refused.resume().statusCode).toBe(503);
    waiting.request.end("xx");
    early.request.end("xx");
    let text = "";
    for await (const part of begun as AsyncIterable<Buffer>) text += String(part);
    expect(text).toBe("earlywhole");
    const ended = host.records.filter(({ event, status }) => event === "request_ended" && status === 503);
    expect(ended.at(-1)).toMatchObject({
      method: "POST",
      reason: "not_allowed_any_more",
      ended_by: "gateway",
    });
    upstream.close();
  });

  interface HeldRequest {
    readonly request: http.ClientRequest;
    readonly answered: Promise<[http.IncomingMessage]>;
  }
});

test("no exchange is remembered longer than it lasts, however it ends", async () => {
  const token = await host.mint();
  host.answers.clear();
  await host.ask("/mcp", { token });
  await host.h2.ask({ ":path": "/mcp", authorization: `Bearer ${token}` });
  const socket = await openSocket(token);
  expect(host.resource.open).toBeGreaterThan(0);
  socket.terminate();
  // Peers that leave before their token was looked at.
  for (let i = 0; i < 20; i += 1) {
    const unseen = await host.mint();
    const early = http.get({
      port: host.h1Port,
      path: "/mcp",
      headers: { authorization: `Bearer ${unseen}` },
    });
    early.on("error", () => undefined);
    early.once("socket", (raw) => raw.once("connect", () => setImmediate(() => early.destroy())));
    const { stream } = host.h2.open({ ":path": "/mcp", authorization: `Bearer ${unseen}` });
    stream.close(8);
    await new Promise((resolve) => early.once("close", resolve));
  }
  await until(() => host.resource.open === 0);
});

describe("WebSocket upgrades go through the same checks", () => {
  async function refused(headers: Record<string, string>, path = "/ws"): Promise<http.IncomingMessage> {
    const socket = new WebSocket(`ws://127.0.0.1:${host.h1Port}${path}`, {
      headers: { host: "app.example", ...headers },
    });
    socket.on("error", () => undefined);
    const [, response] = (await once(socket, "unexpected-response")) as [unknown, http.IncomingMessage];
    response.resume();
    return response;
  }

  test("no token 401, too little scope 403, a foreign Origin 403, each with its fields", async () => {
    const none = await refused({});
    expect(none.statusCode).toBe(401);
    expect(none.headers["www-authenticate"]).toMatch(/^Bearer scope="user", resource_metadata="/);
    const weak = await refused({ authorization: `Bearer ${await host.mint({ scope: "mcp" })}` });
    expect(weak.statusCode).toBe(403);
    const foreign = await refused({
      authorization: `Bearer ${await host.mint()}`,
      origin: "https://evil.example",
    });
    expect(foreign.statusCode).toBe(403);
    expect((await refused({}, "/.well-known/openid-x")).statusCode).toBe(404);
  });

  test("what a socket will carry can't be seen: a tool rule that applies must be satisfied", async () => {
    host.configure({ scope_rules: [{ tool: "delete_*", scope: "admin" }], oauth_admin_users: ["octocat"] });
    const response = await refused({ authorization: `Bearer ${await host.mint()}` }, "/mcp");
    expect([response.statusCode, response.headers["www-authenticate"]]).toEqual([
      403,
      expect.stringContaining('scope="admin mcp"'),
    ]);
    const socket = await openSocket(await host.mint({ scope: "admin user mcp" }), "/mcp");
    socket.terminate();
  });

  test("one that passes carries the identity, on excluded paths nobody's", async () => {
    host.configure({ auth_excluded_paths: ["/public"] });
    const requests: http.IncomingMessage[] = [];
    const note = (_socket: unknown, request: http.IncomingMessage): void => void requests.push(request);
    sockets.on("connection", note);
    const socket = await openSocket(await host.mint());
    const open = await openSocket("whatever", "/public");
    sockets.off("connection", note);
    expect(requests[0]?.headers).toMatchObject({ "x-auth-user": "octocat", "x-auth-scopes": "user mcp" });
    expect(requests[0]?.headers.authorization).toBeUndefined();
    expect(requests[1]?.headers["x-auth-user"]).toBeUndefined();
    expect(requests[1]?.headers.authorization).toBeUndefined();
    socket.terminate();
    open.terminate();
  });
});

describe("Redis away", () => {
  /** Cuts this host's own connections in one go with what else is to be done meanwhile. */
  async function cutOff(
    cut: ProtectedHost,
    meanwhile: (pipeline: ChainableCommander) => void,
  ): Promise<void> {
    const clients = String(await cut.redis.client("LIST"));
    const pipeline = cut.redis.multi();
    for (const [, id] of clients.matchAll(/^id=(\d+) [^\n]*name=gatehouse-tokens/gm)) {
      pipeline.client("KILL", "ID", Number(id));
    }
    meanwhile(pipeline);
    await pipeline.exec();
  }

  test("what was revoked meanwhile ends when it is back, open streams included", async () => {
    host.answers.set("/mcp", endlessStream);
    const gone = await host.mint({ claims: { jti: "meanwhile" } });
    const stays = await host.mint();
    const streams = [await openStream(gone), await openStream(stays)];
    await cutOff(host, (pipeline) => pipeline.del(tokenKey("meanwhile")));
    await until(() => !streams[0]?.isOpen());
    expect(streams[1]?.isOpen()).toBe(true);
    expect(await refusedSoon(gone)).toBeLessThan(SOON_MS);
    expect((await host.ask("/mcp", { token: stays })).status).toBe(200);
    streams[1]?.close();
  });

  test("what was known to be revoked is not good again for its signature", async () => {
    const token = await host.mint({ claims: { jti: "known" } });
    await host.ask("/other", { token });
    await host.redis.del(tokenKey("known"));
    await refusedSoon(token, "/other");
    await cutOff(host, () => undefined);
    for (let i = 0; i < 20; i += 1) expect((await host.ask("/other", { token })).status).toBe(401);
  });
});

async function tick(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 20));
}
