import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { RawPeer } from "./forward-harness.ts";
import { METADATA_URL, ORIGIN, parseChallenge, ProtectedHost } from "./support/protected-host.ts";

let host: ProtectedHost;
let token: string;
beforeAll(async () => {
  host = await ProtectedHost.start();
  token = await host.mint();
});
afterAll(async () => {
  await host.stop();
});

const UNAUTHENTICATED = `Bearer scope="mcp", resource_metadata="${METADATA_URL}"`;

describe("RFC 6750 section 2.1: the Authorization field", () => {
  test.each(["Bearer", "bearer", "BEARER"])("a token behind %s is taken", async (scheme) => {
    const answer = await host.ask("/mcp", { headers: { authorization: `${scheme} ${token}` } });
    expect([answer.status, answer.text]).toEqual([200, "upstream"]);
  });

  test("is all that counts on HTTP/2 as well", async () => {
    const answer = await host.h2.ask({ ":path": "/mcp", authorization: `Bearer ${token}` });
    expect([answer.status, answer.body]).toEqual([200, "upstream"]);
    expect((await host.h2.ask({ ":path": "/mcp" })).status).toBe(401);
  });

  test("a token in the query is none (RFC 9700 section 4.3.2)", async () => {
    const answer = await host.ask(`/mcp?access_token=${token}`);
    expect(answer.status).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe(UNAUTHENTICATED);
  });

  test("nor is one in a form body (section 2.2)", async () => {
    const answer = await host.ask("/mcp", {
      method: "POST",
      body: `access_token=${token}`,
      headers: { "content-type": "application/x-www-form-urlencoded" },
    });
    expect(answer.status).toBe(401);
  });
});

describe("RFC 6750 section 3.1: answers", () => {
  test("no token: 401 without an error code, with scope and metadata (RFC 9728 section 5.1)", async () => {
    const answer = await host.ask("/mcp", { method: "POST", body: "{}" });
    expect(answer.status).toBe(401);
    expect(answer.headers["www-authenticate"]).toBe(UNAUTHENTICATED);
    expect(answer.headers["cache-control"]).toBe("no-store");
    expect(answer.json["error"]).toBe("unauthorized");
  });

  test.each(["Basic b2N0b2NhdDpzZWNyZXQ=", "Negotiate abc", "DPoP abc"])(
    "credentials of another scheme (%s) are like none",
    async (authorization) => {
      const answer = await host.ask("/mcp", { headers: { authorization } });
      expect([answer.status, answer.headers["www-authenticate"]]).toEqual([401, UNAUTHENTICATED]);
    },
  );

  test("outside the endpoint the origin is the resource, and user the scope", async () => {
    const { parameters } = parseChallenge((await host.ask("/api")).headers["www-authenticate"]);
    expect(parameters).toEqual({
      scope: "user",
      resource_metadata: `${ORIGIN}/.well-known/oauth-protected-resource`,
    });
  });

  test.each([
    ["nothing behind the scheme", "Bearer"],
    ["a space behind the scheme", "Bearer "],
    ["two tokens", "Bearer abc def"],
    ["a list", "Bearer abc, Bearer def"],
    ["characters no token has", 'Bearer a"b'],
  ])("%s: 400 invalid_request", async (_name, authorization) => {
    const answer = await host.ask("/mcp", { headers: { authorization } });
    const { parameters } = parseChallenge(answer.headers["www-authenticate"]);
    expect([answer.status, parameters["error"], answer.json["error"]]).toEqual([
      400,
      "invalid_request",
      "invalid_request",
    ]);
  });

  test("two Authorization fields: 400, though Node shows one of them only", async () => {
    const peer = new RawPeer(
      host.h1Port,
      `GET /mcp HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer ${token}\r\nauthorization: Bearer x\r\n\r\n`,
    );
    await peer.sees("invalid_request");
    expect(peer.text).toMatch(/^HTTP\/1\.1 400 /);
    peer.socket.destroy();
  });

  test("a token in the field and one in the query: 400", async () => {
    const answer = await host.ask("/mcp?x=1&access%5Ftoken=abc", { token });
    expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_request"]);
  });

  test("a bad token: 401 invalid_token, with scope and metadata", async () => {
    const answer = await host.ask("/mcp", { token: "abc.def.ghi" });
    const { scheme, parameters } = parseChallenge(answer.headers["www-authenticate"]);
    expect([answer.status, scheme]).toEqual([401, "Bearer"]);
    expect(parameters).toEqual({
      error: "invalid_token",
      error_description: expect.any(String),
      scope: "mcp",
      resource_metadata: METADATA_URL,
    });
  });

  test("too little scope: 403 insufficient_scope with everything that is needed", async () => {
    const weak = await host.mint({ scope: "mcp" });
    const answer = await host.ask("/api", { token: weak });
    const { parameters } = parseChallenge(answer.headers["www-authenticate"]);
    expect(answer.status).toBe(403);
    expect(parameters).toEqual({
      error: "insufficient_scope",
      error_description: "This needs the scope user",
      scope: "user",
      resource_metadata: `${ORIGIN}/.well-known/oauth-protected-resource`,
    });
  });

  test("none of it reaches the upstream", async () => {
    const before = host.seen.length;
    await host.ask("/mcp", { method: "POST", body: "{}" });
    await host.ask("/mcp", { token: "abc.def.ghi" });
    await host.ask("/api", { token: await host.mint({ scope: "mcp" }) });
    expect(host.seen.length).toBe(before);
  });
});

test("records name the user and the clause, and never the token", async () => {
  host.records.length = 0;
  const weak = await host.mint({ scope: "mcp" });
  await host.ask("/mcp");
  await host.ask("/mcp", { token: await host.mint({ claims: { exp: 1 } }) });
  await host.ask("/api?secret=1", { token: weak });
  const answer = await host.ask("/mcp", { token, headers: { "mcp-method": "tools/list" } });
  expect(answer.status).toBe(200);
  await host.lastRecord(4);
  const [none, expired, lacking, good] = host.records.filter(({ event }) => event === "request_ended");
  expect(none).toMatchObject({ status: 401, level: "warn", reason: "no_token (RFC 6750 3)", path: "/mcp" });
  expect(expired).toMatchObject({ status: 401, reason: "invalid_token: expired (RFC 6750 3.1)" });
  expect(lacking).toMatchObject({
    status: 403,
    reason: "insufficient_scope: needs user (RFC 6750 3.1)",
    path: "/api",
    user: "octocat",
    uid: "github:583231",
    scopes: ["mcp"],
    client_id: "client_VSMC7orqn6WQoElOov-Zvw",
  });
  expect(good).toMatchObject({
    status: 200,
    user: "octocat",
    uid: "github:583231",
    scopes: ["user", "mcp"],
    client_id: "client_VSMC7orqn6WQoElOov-Zvw",
    mcp_method: "tools/list",
  });
  expect(JSON.stringify(host.records)).not.toContain(token.slice(-40));
  expect(JSON.stringify(host.records)).not.toContain("secret=1");
});

test("a refused request's body is taken, so that the connection goes on (RFC 9112 section 9.3)", async () => {
  const peer = new RawPeer(host.h1Port);
  const body = "x".repeat(100_000);
  peer.send(`POST /mcp HTTP/1.1\r\nHost: app.example\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  peer.send(`GET /mcp HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await peer.sees("upstream");
  peer.socket.destroy();
});
