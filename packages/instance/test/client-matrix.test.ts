import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { clientKey } from "@gatehouse/shared/redis-keys";
import { checkRedirectUri } from "../src/oauth/redirect-uri.ts";
import { Harness, type Answer, type BrowserEnd } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start({ config: { oauth_admin_users: ["octocat"] } });
});
afterAll(async () => {
  await host.stop();
});

async function authorizeAt(client: Answer, redirectUri: string): Promise<BrowserEnd> {
  const verifier = randomBytes(32).toString("base64url");
  return await host.authorize({
    response_type: "code",
    client_id: client.json["client_id"],
    redirect_uri: redirectUri,
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  });
}

describe("what real clients register", () => {
  test("Claude: exactly as logged, and with the secret in the body", async () => {
    const client = await host.register({
      client_name: "Claude",
      redirect_uris: ["https://claude.ai/api/mcp/auth_callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "client_secret_post",
      scope: "openid profile email",
    });
    expect(client.status).toBe(201);
    expect(client.headers["cache-control"]).toBe("no-store");
    const id: string = client.json["client_id"];
    expect(id).toMatch(/^client_[\w-]{22}$/);
    expect(client.json).toEqual({
      client_id: id,
      client_id_issued_at: expect.any(Number),
      client_name: "Claude",
      client_secret: expect.stringMatching(/^[\w-]{43}$/),
      client_secret_expires_at: 0,
      application_type: "web",
      redirect_uris: ["https://claude.ai/api/mcp/auth_callback"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "client_secret_post",
      registration_access_token: expect.any(String),
      registration_client_uri: `${host.origin}/register/${id}`,
      scope: "admin user mcp",
    });
    const { answer, refresh } = await host.tokens({ client, parameters: { scope: "openid profile email" } });
    expect(answer.json["scope"]).toBe("admin user mcp");
    expect((await host.post("/token", refresh(answer.json["refresh_token"]))).status).toBe(200);
  });

  test("two registrations a second apart are two clients with two secrets", async () => {
    const body = { redirect_uris: ["https://claude.ai/api/mcp/auth_callback"] };
    const [first, second] = await Promise.all([host.register(body), host.register(body)]);
    for (const name of ["client_id", "client_secret", "registration_access_token"]) {
      expect(first?.json[name]).not.toBe(second?.json[name]);
    }
  });

  test("Cursor: three kinds of redirect URI in one body", async () => {
    const redirectUris = [
      "cursor://anysphere.cursor-mcp/oauth/callback",
      "https://www.cursor.com/agents/mcp/oauth/callback",
      "http://localhost:8787/callback",
    ];
    const client = await host.register({ redirect_uris: redirectUris, token_endpoint_auth_method: "none" });
    expect(client.status).toBe(201);
    expect(client.json["redirect_uris"]).toEqual(redirectUris);
    expect(client.json["client_secret"]).toBeUndefined();
    for (const uri of redirectUris) {
      const { location } = await authorizeAt(client, uri);
      expect(location?.href.startsWith(`${uri}?code=`)).toBe(true);
    }
    expect(host.login.seen).toMatchObject({ redirectHost: "localhost:8787", isLoopbackOnly: false });
  });

  test("VS Code: four redirect URIs, device_code, and any loopback port at run time", async () => {
    const client = await host.register({
      client_name: "Visual Studio Code",
      client_uri: "https://code.visualstudio.com",
      application_type: "native",
      grant_types: ["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"],
      response_types: ["code"],
      redirect_uris: [
        "https://insiders.vscode.dev/redirect",
        "https://vscode.dev/redirect",
        "http://127.0.0.1/",
        "http://127.0.0.1:33418/",
      ],
      scope: "mcp",
      token_endpoint_auth_method: "none",
    });
    expect(client.status).toBe(201);
    expect(client.json["grant_types"]).toEqual(["authorization_code", "refresh_token"]);
    for (const uri of ["http://127.0.0.1:50123/", "http://127.0.0.1:33418/", "https://vscode.dev/redirect"]) {
      expect((await authorizeAt(client, uri)).params.get("code")).toBeTruthy();
    }
  });

  test.each([
    ["Claude Code", "http://localhost/callback", "http://localhost:54545/callback"],
    ["Claude Code on IPv4", "http://127.0.0.1/callback", "http://127.0.0.1:3118/callback"],
    ["a client on IPv6", "http://[::1]/callback", "http://[::1]:3118/callback"],
    ["mcp-remote", "http://localhost:24405/oauth/callback", "http://localhost:24405/oauth/callback"],
    ["MCP Inspector", "http://127.0.0.1:6276/oauth/callback", "http://127.0.0.1:6276/oauth/callback"],
  ])(
    "%s: loopback without scope and application_type, port of the moment",
    async (_name, registered, used) => {
      const client = await host.register({ redirect_uris: [registered], token_endpoint_auth_method: "none" });
      expect(client.status).toBe(201);
      expect((await authorizeAt(client, used)).params.get("code")).toBeTruthy();
      expect(host.login.seen?.isLoopbackOnly).toBe(true);
    },
  );

  test("only the port may vary: neither path nor host", async () => {
    const client = await host.register({
      redirect_uris: ["http://localhost/callback"],
      token_endpoint_auth_method: "none",
    });
    for (const uri of [
      "http://localhost:3000/other",
      "http://127.0.0.1:3000/callback",
      "http://localhost.evil.com:3000/callback",
      "https://localhost:3000/callback",
    ]) {
      const { answer, location } = await authorizeAt(client, uri);
      expect(location).toBeUndefined();
      expect(answer.status).toBe(400);
    }
  });

  test("null and empty members are as if they were not there, and never in an answer", async () => {
    const client = await host.register({
      client_name: null,
      redirect_uris: ["https://client.example/cb"],
      token_endpoint_auth_method: null,
      grant_types: null,
      logo_uri: "",
      client_uri: "not a url",
      contacts: [""],
      scope: null,
      jwks: null,
      default_max_age: 60,
    });
    expect(client.status).toBe(201);
    expect(Object.values(client.json)).not.toContain(null);
    // RFC 7591 section 2: client_secret_basic when nothing is said.
    expect(client.json["token_endpoint_auth_method"]).toBe("client_secret_basic");
    expect(client.json["grant_types"]).toEqual(["authorization_code", "refresh_token"]);
  });

  test("an authentication method that is not offered is replaced by one that is", async () => {
    const client = await host.register({
      redirect_uris: ["https://client.example/cb"],
      token_endpoint_auth_method: "tls_client_auth",
    });
    expect(client.json["token_endpoint_auth_method"]).toBe("client_secret_basic");
    expect(client.json["client_secret"]).toEqual(expect.any(String));
  });
});

describe("what real clients send to /authorize", () => {
  test("the MCP SDK: offline_access and prompt=consent, which change nothing here", async () => {
    const { end, form } = await host.code({ parameters: { scope: "mcp offline_access", prompt: "consent" } });
    expect(end.params.get("code")).toBeTruthy();
    expect(host.login.seen?.requestedScopes).toEqual(["mcp"]);
    expect((await host.post("/token", form)).json["refresh_token"]).toBeTruthy();
  });

  test("nothing at all for scope and resource, as the conformance suite does", async () => {
    const { end, form } = await host.code();
    expect(end.params.get("code")).toBeTruthy();
    expect(host.login.seen).toMatchObject({ requestedScopes: undefined, resources: [`${host.origin}/mcp`] });
    expect((await host.post("/token", form)).status).toBe(200);
  });

  test("parameters of OpenID Connect and unknown ones are ignored (RFC 6749 section 3.1)", async () => {
    const { end } = await host.code({
      parameters: {
        nonce: "n",
        max_age: "0",
        claims: "{}",
        acr_values: "1",
        login_hint: "x",
        requested_scope: "admin",
      },
    });
    expect(end.params.get("code")).toBeTruthy();
    expect(host.login.seen?.requestedScopes).toBeUndefined();
  });

  test("no redirect URI where only one is registered (OAuth 2.1 section 4.1.1)", async () => {
    const client = await host.register({
      redirect_uris: ["https://client.example/cb"],
      token_endpoint_auth_method: "none",
    });
    const { end, form } = await host.code({ client, parameters: { redirect_uri: "" } });
    expect(end.location?.href.startsWith("https://client.example/cb?code=")).toBe(true);
    expect(host.login.seen?.redirectHost).toBe("client.example");
    const { redirect_uri: _omitted, ...rest } = form;
    expect((await host.post("/token", rest)).status).toBe(200);
  });

  test("an unknown client, or a redirect URI that is not registered, gets a page and no redirect", async () => {
    const { end } = await host.code({ parameters: { client_id: "client_nobody" } });
    expect([end.location, end.answer.status]).toEqual([undefined, 400]);
    expect(end.answer.text).toMatch(/^page: invalid_client/);
    const other = await host.code({ parameters: { redirect_uri: "https://evil.example/cb" } });
    expect([other.end.location, other.end.answer.status]).toEqual([undefined, 400]);
  });
});

describe("client authentication at the token endpoint", () => {
  test.each(["client_secret_post", "client_secret_basic"])(
    "a secret registered for %s is taken in body and header alike",
    async (method) => {
      const client = await host.register({
        redirect_uris: ["https://client.example/cb"],
        token_endpoint_auth_method: method,
      });
      const { client_id: id, client_secret: secret } = client.json;
      const inBody = await host.code({ client });
      expect((await host.post("/token", inBody.form)).status).toBe(200);
      const { client_secret: _secret, ...form } = (await host.code({ client })).form;
      const authorization = `Basic ${Buffer.from(`${id}:${secret}`).toString("base64")}`;
      expect((await host.post("/token", form, { authorization })).status).toBe(200);
    },
  );

  test("a wrong secret, none, or two at once are refused", async () => {
    const client = await host.register({ redirect_uris: ["https://client.example/cb"] });
    const { form } = await host.code({ client });
    const { client_secret: secret = "", ...bare } = form;
    const hash = JSON.parse(
      (await host.redis.get(clientKey(form["client_id"] ?? ""))) ?? "",
    ).client_secret_hash;
    for (const attempt of [
      bare,
      { ...bare, client_secret: `${secret}x` },
      { ...bare, client_secret: hash },
    ]) {
      const answer = await host.post("/token", attempt);
      expect([answer.status, answer.json["error"]]).toEqual([401, "invalid_client"]);
    }
    const authorization = `Basic ${Buffer.from(`${form["client_id"]}:${secret}`).toString("base64")}`;
    expect((await host.post("/token", form, { authorization })).json["error"]).toBe("invalid_request");
    expect((await host.post("/token", form)).status).toBe(200);
  });

  test("a public client that sends an empty secret is still public", async () => {
    const { form } = await host.code();
    expect((await host.post("/token", { ...form, client_secret: "" })).status).toBe(200);
  });
});

describe("redirect URIs that are refused", () => {
  test.each([
    "http://evil.example/cb",
    "http://localhost.evil.com/cb",
    "http://127.0.0.1.evil.com/cb",
    "http://127.1/cb",
    "http://0x7f000001/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http://localhost@evil.example/cb",
    "https://user:password@client.example/cb",
    "https://client.example/cb#fragment",
    "https://client.example/cb#",
    "https://*.client.example/cb",
    "https://client.example/*",
    "https:client.example/cb",
    "https:///cb",
    "https://client.example\\@evil.example/cb",
    " https://client.example/cb",
    "https://client.example/c b",
    "https://client.example/\u{2028}",
    "javascript:alert(1)",
    "JavaScript://client.example/%0aalert(1)",
    "data:text/html,x",
    "vbscript:x",
    "file:///etc/passwd",
    "myapp://callback",
    "/relative",
    "",
  ])("%j", async (uri) => {
    expect(checkRedirectUri(uri, ["cursor:"]).ok).toBe(false);
    const answer = await host.register({ redirect_uris: [uri] });
    expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_redirect_uri"]);
  });

  test("a dangerous scheme stays refused when it stands in the list", () => {
    expect(checkRedirectUri("javascript:alert(1)", ["javascript:"]).ok).toBe(false);
  });

  test.each([undefined, [], "https://client.example/cb", [7], null])(
    "a list that is none: %j",
    async (redirectUris) => {
      const answer = await host.register({ redirect_uris: redirectUris });
      expect(answer.status).toBe(400);
      expect(answer.json["error"]).toBe("invalid_redirect_uri");
    },
  );

  test("one bad URI among good ones is not dropped in silence", async () => {
    const answer = await host.register({
      redirect_uris: ["https://client.example/cb", "http://evil.example/cb"],
    });
    expect(answer.json["error"]).toBe("invalid_redirect_uri");
  });
});
