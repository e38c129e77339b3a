/** The flow of the log, through both tiers: from the first 401 to tool calls, a refresh and a revocation. */
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { startMcpUpstream, type McpUpstream } from "@gatehouse/testbed/mcp-upstream";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { Claude, CLAUDE_REGISTRATION, type TokenAnswer } from "./support/claude.ts";
import { openStream, startRequest } from "./support/https-peer.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";
import { until } from "@gatehouse/testbed/until";

const HOST = "simple-oauth.localhost";
const OTHER = "other-oauth.localhost";

let upstream: McpUpstream;
let bed: ProtectedGatehouse;
let origin: string;

beforeAll(async () => {
  upstream = await startMcpUpstream({ name: "simple", pingIntervalMs: 50 });
  bed = await ProtectedGatehouse.start([
    { hostname: HOST, upstreamUrl: upstream.url },
    { hostname: OTHER, upstreamUrl: upstream.url },
  ]);
  origin = bed.origin(HOST);
}, 60_000);

afterAll(async () => {
  await bed?.stop();
  await upstream?.close();
});

/** Registers a client of its own and logs one person in. */
async function connect(
  login: string,
  { hostname = HOST, resource }: { hostname?: string; resource?: string } = {},
): Promise<{ claude: Claude; tokens: TokenAnswer }> {
  const claude = new Claude(bed.fetch, bed.origin(hostname));
  await claude.register();
  const tokens = await claude.authorize((url) => bed.logIn(url, login), resource);
  return { claude, tokens };
}

async function post(token: string | undefined, at = `${origin}/mcp`): Promise<Response> {
  return await bed.fetch(at, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      accept: "application/json, text/event-stream",
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" }),
  });
}

/** The headers that the upstream saw of a tool call. */
async function whoami(token: string): Promise<Record<string, string>> {
  const client = new Client({ name: "Claude", version: "1" });
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${origin}/mcp`), {
      fetch: bed.fetch,
      requestInit: { headers: { authorization: `Bearer ${token}`, "x-auth-user": "root" } },
    }),
  );
  const { content }: { content?: unknown } = await client.callTool({ name: "whoami", arguments: {} });
  await client.close();
  const [{ text }] = content as [{ text: string }];
  return (JSON.parse(text) as { headers: Record<string, string> }).headers;
}

async function stored(key: string): Promise<Record<string, unknown>> {
  return JSON.parse((await bed.gatehouse.store.get(key)) ?? "{}") as Record<string, unknown>;
}

test("a request without a token learns where to go: challenge, resource metadata, server metadata", async () => {
  const refused = await post(undefined);
  expect(refused.status).toBe(401);
  const challenge = refused.headers.get("www-authenticate") ?? "";
  expect(challenge).toMatch(/^Bearer scope="mcp", resource_metadata="/);
  const metadataUrl = /resource_metadata="([^"]+)"/.exec(challenge)?.[1] ?? "";
  expect(metadataUrl).toBe(`${origin}/.well-known/oauth-protected-resource/mcp`);
  const resource = (await (await bed.fetch(metadataUrl)).json()) as Record<string, unknown>;
  expect(resource).toMatchObject({ resource: `${origin}/mcp`, authorization_servers: [origin] });
  const server = await (await bed.fetch(`${origin}/.well-known/oauth-authorization-server`)).json();
  expect(server).toMatchObject({
    issuer: origin,
    authorization_endpoint: `${origin}/authorize`,
    registration_endpoint: `${origin}/register`,
    code_challenge_methods_supported: ["S256"],
  });
});

test("Claude registers with the body of the log, and gets a secret", async () => {
  const claude = new Claude(bed.fetch, origin);
  expect((await claude.register()).status).toBe(201);
  expect(claude.client).toMatchObject({
    client_id: expect.stringMatching(/^client_[\w-]{22}$/),
    client_secret: expect.any(String),
    redirect_uris: CLAUDE_REGISTRATION.redirect_uris,
    token_endpoint_auth_method: "client_secret_post",
    registration_client_uri: `${origin}/register/${String(claude.client["client_id"])}`,
  });
});

describe.each([
  { login: "octocat", scope: "admin user mcp", email: "octocat@github.com", uid: "github:583231" },
  { login: "hubot", scope: "user mcp", email: undefined, uid: "github:480938" },
])("$login logs in", ({ login, scope, email, uid }) => {
  let claude: Claude;
  let tokens: TokenAnswer;

  beforeAll(async () => {
    ({ claude, tokens } = await connect(login));
  });

  test("the browser comes back to Claude with code, state and issuer", () => {
    expect(claude.callback?.href).toMatch(/^https:\/\/claude\.ai\/api\/mcp\/auth_callback\?/);
    expect([...(claude.callback?.searchParams.keys() ?? [])].toSorted()).toEqual(["code", "iss", "state"]);
    expect(claude.callback?.searchParams.get("iss")).toBe(origin);
  });

  test("the token is for this person, this host and these scopes, as in the log", () => {
    expect(tokens).toMatchObject({ status: 200, token_type: "Bearer", scope, expires_in: 1800 });
    expect(tokens.refresh_token).toEqual(expect.any(String));
    expect(tokens).not.toHaveProperty("id_token");
    expect(decodeProtectedHeader(tokens.access_token)).toMatchObject({ alg: "RS256", typ: "at+jwt" });
    expect(decodeJwt(tokens.access_token)).toMatchObject({
      iss: origin,
      sub: login,
      uid,
      aud: [`${origin}/mcp`],
      scope,
      client_id: claude.client["client_id"],
    });
  });

  test("the upstream sees who it is, and no token", async () => {
    const seen = await whoami(tokens.access_token);
    expect(seen).toMatchObject({
      "x-auth-user": login,
      "x-auth-subject": uid,
      "x-auth-scopes": scope,
      "x-auth-client": claude.client["client_id"],
      "x-forwarded-host": `${HOST}:${bed.gatehouse.port}`,
    });
    expect(seen["x-auth-email"]).toBe(email);
    expect(seen).not.toHaveProperty("authorization");
  });

  test("the record of a call names user, scopes and client", async () => {
    const instance = bed.gatehouse.instance(HOST);
    const since = instance.records.count;
    await whoami(tokens.access_token);
    const { text } = await instance.awaitRecord(/✓ 200 POST \/mcp tools\/call whoami/, { since });
    const list = scope.split(" ").map((one) => `"${one}"`);
    const client = String(claude.client["client_id"]);
    expect(text).toContain(`Auth: User=${login} | Scopes=[${list.join(", ")}] | Client=${client}`);
    expect(text).toMatch(/Ids: conn=c-\S+ req=req-/);
  });

  test("Redis shows client and tokens to an operator, and no secret", async () => {
    const id = String(claude.client["client_id"]);
    const client = await stored(`oauth:client:${id}`);
    expect(client).toMatchObject({ hostname: HOST, client_name: "Claude", usage_count: 1 });
    expect(Math.abs(Number(client["last_token_issued"]) - Date.now() / 1000)).toBeLessThan(60);
    const { jti } = decodeJwt(tokens.access_token);
    expect(await bed.gatehouse.store.keys("oauth:token:*")).toContain(`oauth:token:${jti}`);
    expect(await stored(`oauth:token:${jti}`)).toMatchObject({
      sub: login,
      uid,
      client_id: id,
      hostname: HOST,
    });
    const secrets = [tokens.access_token, tokens.refresh_token, String(claude.client["client_secret"])];
    for (const key of await bed.gatehouse.store.keys("oauth:*")) {
      const value = await bed.gatehouse.store.dumpBuffer(key);
      for (const secret of secrets) {
        expect(key).not.toContain(secret);
        expect(value?.includes(secret)).toBe(false);
      }
    }
  });

  test("a refresh gives new tokens with the same scopes, and counts as a use", async () => {
    const renewed = await claude.refresh(tokens.refresh_token);
    expect(renewed).toMatchObject({ status: 200, scope });
    expect(renewed.refresh_token).not.toBe(tokens.refresh_token);
    expect(await whoami(renewed.access_token)).toMatchObject({ "x-auth-user": login });
    const client = await stored(`oauth:client:${String(claude.client["client_id"])}`);
    expect(client["usage_count"]).toBe(2);
  });
});

describe("a token that is not good here", () => {
  test.each([
    ["one of another host", async () => (await connect("octocat", { hostname: OTHER })).tokens.access_token],
    ["one for another resource", async () => (await forFormerEndpoint()).access_token],
    [
      "one with another signature",
      async () =>
        (await connect("octocat")).tokens.access_token.replace(/\.[^.]{10}([^.]*)$/, ".AAAAAAAAAA$1"),
    ],
    ["one that is none", async () => "nonsense"],
  ])("%s is refused with a challenge that says so", async (_what, make) => {
    const refused = await post(await make());
    expect(refused.status).toBe(401);
    expect(refused.headers.get("www-authenticate")).toMatch(
      /^Bearer error="invalid_token", error_description="[^"]+", scope="mcp", resource_metadata="https:/,
    );
  });

  /** The endpoint of the host was another when this token was asked for. */
  async function forFormerEndpoint(): Promise<TokenAnswer> {
    const host = { hostname: HOST, upstreamUrl: upstream.url };
    await bed.configure({ ...host, config: { resource_endpoint: "/former" } });
    const metadata = `${origin}/.well-known/oauth-protected-resource`;
    await until(
      async () => (await bed.fetch(`${metadata}/former`)).status,
      (status) => status === 200,
    );
    const { tokens } = await connect("octocat", { resource: `${origin}/former` });
    await bed.configure(host);
    await until(
      async () => (await bed.fetch(`${metadata}/mcp`)).status,
      (status) => status === 200,
    );
    return tokens;
  }

  test("a token for the origin is good for everything on it", async () => {
    const { tokens } = await connect("octocat", { resource: origin });
    expect(decodeJwt(tokens.access_token).aud).toEqual([origin]);
    expect(await whoami(tokens.access_token)).toMatchObject({ "x-auth-user": "octocat" });
  });
});

describe("within a second, on requests and on an open stream", () => {
  test.each([
    [
      "the client revokes its token",
      async ({ claude, tokens }: Connected) => {
        expect(await claude.revoke(tokens.access_token)).toBe(200);
      },
    ],
    [
      "an operator deletes the token's key",
      async ({ tokens }: Connected) => {
        await bed.gatehouse.store.del(`oauth:token:${decodeJwt(tokens.access_token).jti}`);
      },
    ],
    [
      "an operator deletes the client's key",
      async ({ claude }: Connected) => {
        await bed.gatehouse.store.del(`oauth:client:${String(claude.client["client_id"])}`);
      },
    ],
    [
      "the person is struck off the list",
      async () => {
        await bed.configure({
          hostname: HOST,
          upstreamUrl: upstream.url,
          config: { auth_required_users: ["hubot"] },
        });
      },
    ],
  ])("%s", async (_what, revoke) => {
    const connected = await connect("octocat");
    const token = connected.tokens.access_token;
    const stream = await openStream(bed.gatehouse, {
      hostname: HOST,
      path: "/sse-ping",
      headers: { authorization: `Bearer ${token}` },
    });
    const ended = once(stream.resume(), "end");
    const began = performance.now();
    await revoke(connected);
    await ended;
    await until(
      async () => (await post(token)).status,
      (status) => status === 401,
    );
    expect(performance.now() - began).toBeLessThan(1000);
    await bed.configure({ hostname: HOST, upstreamUrl: upstream.url });
  });
});

type Connected = Awaited<ReturnType<typeof connect>>;

describe("a request whose body is late has no more rights than one that comes now", () => {
  const RULED = { scope_rules: [{ mcp_method: "tools/call", tool: "delete_*", scope: "admin" }] };
  const BODY = '{"jsonrpc":"2.0","id":1,"method":"ping"}';

  test.each([
    [
      "its token is revoked",
      401,
      async (token: string) => {
        await bed.gatehouse.store.del(`oauth:token:${decodeJwt(token).jti}`);
      },
    ],
    [
      "its user is struck off the list",
      401,
      async () => {
        const config = { ...RULED, auth_required_users: ["octocat"] };
        await bed.configure({ hostname: HOST, upstreamUrl: upstream.url, config });
      },
    ],
    [
      "the host is disabled",
      404,
      async () => {
        const config = { ...RULED, enabled: false };
        await bed.configure({ hostname: HOST, upstreamUrl: upstream.url, config });
      },
    ],
  ])("%s: %i", async (_what, status, change) => {
    await bed.configure({ hostname: HOST, upstreamUrl: upstream.url, config: RULED });
    const { access_token: token } = (await connect("hubot")).tokens;
    const late = startRequest(bed.gatehouse, {
      hostname: HOST,
      path: "/mcp",
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        "content-length": String(BODY.length),
        expect: "100-continue",
      },
    });
    const answered = once(late, "response") as Promise<[IncomingMessage]>;
    const begun = once(late, "continue");
    late.write(BODY.slice(0, 10));
    // Its head has arrived. Once the same token was judged on another connection, it was judged here, too.
    await begun;
    await until(
      async () => (await post(token)).status,
      (answer) => answer !== 401,
    );
    await change(token);
    await until(
      async () => (await post(token)).status,
      (answer) => answer === status,
    );
    late.end(BODY.slice(10));
    const [answer] = await answered;
    answer.resume();
    expect(answer.statusCode).toBe(status);
    await bed.configure({ hostname: HOST, upstreamUrl: upstream.url });
    await until(
      async () => (await post(undefined)).status,
      (now) => now === 401,
    );
  });
});

describe("a request that is still arriving when it may not come any more is refused, and its upstream does not act", () => {
  /** What the upstream hears of requests: that one began, that one is whole. */
  const heard: string[] = [];
  let server: Server;

  beforeAll(async () => {
    server = createServer((request, response) => {
      heard.push("begun");
      request.resume().on("end", () => {
        heard.push("whole");
        response.end();
      });
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
  });

  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });

  async function configure(config: Record<string, unknown>): Promise<void> {
    const { port } = server.address() as AddressInfo;
    await bed.configure({ hostname: HOST, upstreamUrl: `http://127.0.0.1:${port}`, config });
  }

  test.each([
    [
      "its token is revoked",
      async (token: string) => {
        await bed.gatehouse.store.del(`oauth:token:${decodeJwt(token).jti}`);
      },
    ],
    ["its user is struck off the list", () => configure({ auth_required_users: ["octocat"] })],
    [
      "a rule wants to see its body",
      () => configure({ scope_rules: [{ mcp_method: "tools/call", tool: "delete_*", scope: "admin" }] }),
    ],
    ["the host is disabled", () => configure({ enabled: false })],
  ])("%s", async (_what, change) => {
    await configure({});
    const { access_token: token } = (await connect("hubot")).tokens;
    heard.length = 0;
    const held = startRequest(bed.gatehouse, {
      hostname: HOST,
      path: "/mcp",
      method: "POST",
      headers: {
        authorization: `Bearer ${token}`,
        "content-type": "application/json",
        "content-length": "40",
      },
    });
    const answered = once(held, "response") as Promise<[IncomingMessage]>;
    held.write('{"jsonrpc":"2.0",');
    await until(() => heard.includes("begun"));
    await change(token);
    const [answer] = await answered;
    expect(answer.resume().statusCode).toBe(503);
    held.end(" ".repeat(23));
    await once(answer, "close");
    expect(heard).toEqual(["begun"]);
  });

  afterAll(async () => {
    await bed.configure({ hostname: HOST, upstreamUrl: upstream.url });
    await until(async () => (await post(undefined)).status === 401);
  });
});

test("a stream and requests of somebody else go on", async () => {
  const [mine, theirs] = await Promise.all([connect("octocat"), connect("hubot")]);
  const stream = await openStream(bed.gatehouse, {
    hostname: HOST,
    path: "/sse-ping",
    headers: { authorization: `Bearer ${theirs.tokens.access_token}` },
  });
  await mine.claude.revoke(mine.tokens.access_token);
  await until(
    async () => (await post(mine.tokens.access_token)).status,
    (status) => status === 401,
  );
  let pings = 0;
  stream.on("data", () => (pings += 1));
  await until(
    () => pings,
    (count) => count >= 3,
  );
  expect((await whoami(theirs.tokens.access_token))["x-auth-user"]).toBe("hubot");
  stream.destroy();
});

test("a token and a refresh outlive a restart of the instance", async () => {
  const { claude, tokens } = await connect("octocat");
  const instance = bed.gatehouse.instance(HOST);
  await instance.kill();
  await instance.start();
  expect((await whoami(tokens.access_token))["x-auth-user"]).toBe("octocat");
  const renewed = await claude.refresh(tokens.refresh_token);
  expect((await whoami(renewed.access_token))["x-auth-user"]).toBe("octocat");
});

test("each step of a login is one record, with what is known by then", async () => {
  const instance = bed.gatehouse.instance(HOST);
  const { claude } = await connect("hubot");
  const client = `Client=${String(claude.client["client_id"])}`;
  await instance.awaitRecord(new RegExp(`token issued: .*\n(?:.*\n)?.*${client}`));
  const steps = instance.records.all(new RegExp(client)).filter(({ component }) => component === "oauth");
  expect(steps.map(({ headline }) => headline)).toEqual([
    "● [INFO] client registered",
    "● [INFO] authorization started",
    "● [INFO] consent given, on to GitHub",
    "● [INFO] logged in with GitHub",
    "● [INFO] authorization granted: code issued",
    "● [INFO] token issued: authorization_code",
  ]);
  for (const { text } of steps) {
    expect(text).toMatch(/Client: 127\.0\.0\.1 → Proxy: simple-oauth\.localhost\n/);
    expect(text).toMatch(/Ids: conn=c-\S+ req=req-/);
  }
  expect(steps.at(-1)?.text).toContain(`User=hubot | Scopes=["user", "mcp"] | ${client}`);
});

test("while Redis is away known and unknown tokens are good, and nobody logs in", async () => {
  const [known, unknown] = [await connect("octocat"), await connect("hubot")];
  await whoami(known.tokens.access_token);
  const instance = bed.gatehouse.instance(HOST);
  await bed.gatehouse.redis.kill("SIGSTOP");
  await instance.awaitRecord(/store lost/);
  expect((await whoami(known.tokens.access_token))["x-auth-user"]).toBe("octocat");
  expect((await whoami(unknown.tokens.access_token))["x-auth-user"]).toBe("hubot");
  const refused = await new Claude(bed.fetch, origin).register();
  expect(refused.status).toBe(503);
  expect(Number(refused.headers.get("retry-after"))).toBeGreaterThan(0);
  await bed.gatehouse.redis.kill("SIGCONT");
  await until(
    async () => (await new Claude(bed.fetch, origin).register()).status,
    (status) => status === 201,
  );
}, 60_000);

test("no process had anything to complain about, and no secret is in any record", () => {
  for (const hostname of [HOST, OTHER]) {
    const instance = bed.gatehouse.instance(hostname);
    expect(instance.complaints).toBe("");
    const text = instance.records
      .all(/^/)
      .map((record) => record.text)
      .join("\n");
    expect(text).not.toMatch(/eyJ[\w-]+\.|gho_|github-app-secret|code=|code_verifier/);
  }
});
