import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { mcpSessionKey } from "@gatehouse/shared/redis-keys";
import { SessionBindings } from "../src/protected-resource/session-binding.ts";
import { HOST, ProtectedHost } from "./support/protected-host.ts";

const INITIALIZE = { jsonrpc: "2.0", id: 0, method: "initialize", params: {} };
const LIST = { jsonrpc: "2.0", id: 1, method: "tools/list" };

let host: ProtectedHost;
let octocat: string;
let hubot: string;
let opened = 0;
beforeAll(async () => {
  host = await ProtectedHost.start();
  octocat = await host.mint();
  hubot = await host.mint({ sub: "hubot", uid: "github:480938", email: null });
  host.answers.set("/mcp", (request, response) => {
    const fields =
      request.headers["mcp-session-id"] === undefined ? { "Mcp-Session-Id": `session-${++opened}` } : {};
    response.writeHead(200, { "content-type": "application/json", ...fields });
    response.end("{}");
  });
});
afterAll(async () => {
  await host.stop();
});
beforeEach(() => {
  host.seen.length = 0;
});

async function open(token: string): Promise<string> {
  const answer = await host.rpc(INITIALIZE, { token });
  const id = String(answer.headers["mcp-session-id"]);
  const key = mcpSessionKey(host.name, id);
  let isThere = 0;
  while (isThere === 0) isThere = await host.redis.exists(key);
  return id;
}

async function use(token: string, id: string, name = "mcp-session-id"): Promise<number> {
  return (await host.rpc(LIST, { token, headers: { [name]: id } })).status;
}

describe("MCP Security Best Practices, Session Hijacking: a session belongs to the user who opened it", () => {
  test("another user's use of it is answered as if it were unknown, and does not arrive", async () => {
    const id = await open(octocat);
    host.seen.length = 0;
    const foreign = await host.rpc(LIST, { token: hubot, headers: { "mcp-session-id": id } });
    const unknown = await host.rpc(LIST, { token: hubot, headers: { "mcp-session-id": "no-such-session" } });
    expect([foreign.status, foreign.text]).toEqual([404, unknown.text]);
    expect(foreign.json).toMatchObject({
      jsonrpc: "2.0",
      error: { code: -32_001, message: "Session not found" },
    });
    expect(host.seen).toEqual([]);
    expect(await use(octocat, id)).toBe(200);
  });

  test("another token of the same user uses it as well, whatever the name is now", async () => {
    const id = await open(octocat);
    expect(
      await use(await host.mint({ sub: "renamed", clientId: "client_VSMC7orqn6WQoElOov-Zvw" }), id),
    ).toBe(200);
  });

  test("it is no credential: without a token there is no session (MCP, MUST NOT)", async () => {
    const id = await open(octocat);
    expect((await host.rpc(LIST, { headers: { "mcp-session-id": id } })).status).toBe(401);
  });

  test("GET and DELETE on it, HTTP/2, and the spelling that CGI upstreams fold", async () => {
    const id = await open(octocat);
    for (const method of ["GET", "DELETE"]) {
      const headers = { "mcp-session-id": id };
      expect((await host.ask("/mcp", { method, token: hubot, headers })).status).toBe(404);
    }
    const h2 = await host.h2.ask({ ":path": "/mcp", authorization: `Bearer ${hubot}`, "mcp-session-id": id });
    expect(h2.status).toBe(404);
    expect(await use(hubot, id, "Mcp_Session_Id")).toBe(404);
    expect(await use(octocat, id, "Mcp_Session_Id")).toBe(200);
  });

  test("two session ids in one request: 400", async () => {
    const id = await open(octocat);
    const answer = await host.rpc(LIST, {
      token: octocat,
      headers: { "mcp-session-id": id, mcp_session_id: "other" },
    });
    expect(answer.status).toBe(400);
  });

  test("the record says which it was", async () => {
    const id = await open(octocat);
    host.records.length = 0;
    await use(hubot, id);
    await use(hubot, "no-such-session");
    const reasons = host.records.filter(({ event }) => event === "request_ended").map(({ reason }) => reason);
    expect(reasons).toEqual([
      "session_of_another_user (MCP Security Best Practices, Session Hijacking)",
      "session_unknown (MCP Security Best Practices, Session Hijacking)",
    ]);
  });
});

describe("the binding in Redis", () => {
  test("holds the user, not the session id, and goes away by itself", async () => {
    const id = await open(octocat);
    const key = mcpSessionKey(host.name, id);
    expect(key).not.toContain(id);
    expect(JSON.parse((await host.redis.get(key)) ?? "")).toEqual({ hostname: HOST, uid: "github:583231" });
    expect(await host.redis.ttl(key)).toBeGreaterThan(6 * 86_400);
  });

  test("is the same for every instance of the host, and for no other host", async () => {
    const id = await open(octocat);
    const other = new SessionBindings({ redis: host.redis, hostname: host.name });
    expect(await other.check(id, "github:480938")).toBe("foreign");
    expect(await other.check(id, "github:583231")).toBe("own");
    const elsewhere = new SessionBindings({
      redis: host.redis,
      hostname: "other.example" as typeof host.name,
    });
    expect(await elsewhere.check(id, "github:583231")).toBe("unknown");
  });

  test("is read once: a known session costs no round trip", async () => {
    const id = await open(octocat);
    const sessions = new SessionBindings({ redis: host.redis, hostname: host.name });
    await sessions.check(id, "github:583231");
    expect(sessions.check(id, "github:583231")).toBe("own");
    expect(sessions.check(id, "github:480938")).toBe("foreign");
  });

  test("stays with its first user, also when an upstream gives the id again", async () => {
    const first = new SessionBindings({ redis: host.redis, hostname: host.name });
    const second = new SessionBindings({ redis: host.redis, hostname: host.name });
    first.bind("constant", "github:1");
    await expectEventually(async () => (await host.redis.exists(mcpSessionKey(host.name, "constant"))) === 1);
    second.bind("constant", "github:2");
    await expectEventually(async () => (await second.check("constant", "github:2")) === "foreign");
    expect(await second.check("constant", "github:1")).toBe("own");
  });

  test("is renewed by use", async () => {
    const key = mcpSessionKey(host.name, "renewed");
    const sessions = new SessionBindings({ redis: host.redis, hostname: host.name, seconds: 1 });
    sessions.bind("renewed", "github:1");
    const deadline = performance.now() + 2500;
    while (performance.now() < deadline) {
      expect(await sessions.check("renewed", "github:1")).toBe("own");
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    expect(await host.redis.exists(key)).toBe(1);
  });

  test("is bounded in memory", async () => {
    const sessions = new SessionBindings({ redis: host.redis, hostname: host.name, maxSessions: 2 });
    for (const id of ["b-1", "b-2", "b-3"]) sessions.bind(id, "github:1");
    expect(sessions.check("b-3", "github:1")).toBe("own");
    expect(sessions.check("b-1", "github:1")).toBeInstanceOf(Promise);
  });
});

test("while Redis is away known sessions stay bound, and new ones are bound later", async () => {
  const id = await open(octocat);
  await host.store.kill("SIGSTOP");
  try {
    expect(await use(hubot, id)).toBe(404);
    expect(await use(octocat, id)).toBe(200);
    const answer = await host.rpc(INITIALIZE, { token: octocat });
    const fresh = String(answer.headers["mcp-session-id"]);
    expect(await use(hubot, fresh)).toBe(404);
    await host.store.kill("SIGCONT");
    await expectEventually(async () => {
      await use(octocat, fresh);
      return (
        host.redis.status === "ready" && (await host.redis.exists(mcpSessionKey(host.name, fresh))) === 1
      );
    });
  } finally {
    await host.store.kill("SIGCONT");
  }
}, 30_000);

async function expectEventually(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await condition().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
