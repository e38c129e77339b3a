import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { CLIENT, ProtectedHost, type Seen } from "./support/protected-host.ts";

let host: ProtectedHost;
beforeAll(async () => {
  host = await ProtectedHost.start({ oauth_admin_users: ["octocat"], auth_excluded_paths: ["/health"] });
});
afterAll(async () => {
  await host.stop();
});
beforeEach(() => {
  host.seen.length = 0;
});

/** What the upstream saw under these names, in any spelling. */
function valuesOf(seen: Seen | undefined, name: RegExp): string[] {
  const raw = seen?.rawHeaders ?? [];
  return raw.filter((_text, i) => i % 2 === 1 && name.test(raw[i - 1] ?? ""));
}

describe("what the upstream sees of a user (contract section 5)", () => {
  test("login, uid, scopes in the order admin user mcp, e-mail and client, each once", async () => {
    await host.ask("/mcp", { token: await host.mint({ scope: "mcp admin user" }) });
    expect(host.seen[0]?.headers).toMatchObject({
      "x-auth-user": "octocat",
      "x-auth-subject": "github:583231",
      "x-auth-scopes": "admin user mcp",
      "x-auth-email": "octocat@github.com",
      "x-auth-client": CLIENT,
    });
    for (const name of ["user", "subject", "scopes", "email", "client"]) {
      expect(valuesOf(host.seen[0], new RegExp(`^x-auth-${name}$`, "i"))).toHaveLength(1);
    }
  });

  test("no e-mail when there is none", async () => {
    await host.ask("/mcp", { token: await host.mint({ sub: "hubot", uid: "github:480938", email: null }) });
    expect(host.seen[0]?.headers).toMatchObject({ "x-auth-user": "hubot", "x-auth-scopes": "user mcp" });
    expect(host.seen[0]?.headers["x-auth-email"]).toBeUndefined();
  });

  test("nothing a peer sends takes their place, in any spelling (RFC 9700 section 4.13)", async () => {
    const token = await host.mint();
    const headers = {
      "x-auth-user": "root",
      X_Auth_User: "root",
      "X-Auth-Scopes": "admin",
      "x-auth-anything": "root",
      "X-Internal-Request": "true",
      connection: "x-auth-user, authorization",
    };
    await host.ask("/mcp", { token, headers });
    await host.h2.ask({
      ":path": "/mcp",
      authorization: `Bearer ${token}`,
      "x-auth-user": "root",
      x_auth_scopes: "admin",
    });
    for (const seen of host.seen) {
      expect(valuesOf(seen, /^x.auth.user$/i)).toEqual(["octocat"]);
      expect(valuesOf(seen, /^x.auth.scopes$/i)).toEqual(["user mcp"]);
      expect(JSON.stringify(seen.headers)).not.toContain("root");
      expect(seen.headers["x-internal-request"]).toBeUndefined();
    }
    expect(host.seen).toHaveLength(2);
  });

  test("on an excluded path there is nobody, whatever is sent", async () => {
    await host.ask("/health", { token: await host.mint(), headers: { "x-auth-user": "root" } });
    expect(Object.keys(host.seen[0]?.headers ?? {}).filter((name) => name.startsWith("x-auth-"))).toEqual([]);
    expect(host.seen[0]?.headers.authorization).toBeUndefined();
  });

  test("characters that no field can hold arrive as UTF-8", async () => {
    host.configure({
      identity_provider: "oidc",
      oidc_issuer: "https://login.example",
      oidc_client_id: "a",
      oidc_client_secret: "b",
    });
    const token = await host.mint({ sub: "Zoë ✓\r\nX-Evil: 1", uid: "oidc:1", email: "zoë@例え.example" });
    expect((await host.ask("/mcp", { token })).status).toBe(200);
    const headers = host.seen[0]?.headers ?? {};
    expect(Buffer.from(String(headers["x-auth-user"]), "latin1").toString()).toBe("Zoë ✓X-Evil: 1");
    expect(Buffer.from(String(headers["x-auth-email"]), "latin1").toString()).toBe("zoë@例え.example");
    expect(headers["x-evil"]).toBeUndefined();
    host.configure({ oauth_admin_users: ["octocat"], auth_excluded_paths: ["/health"] });
  });
});

describe("what it does not see (MCP, Access Token Privilege Restriction)", () => {
  test.each(["/mcp", "/health"])("neither the token nor our cookies, on %s", async (path) => {
    const token = await host.mint();
    const cookie =
      "theirs=1; __Host-gatehouse-state=a; __Secure-gatehouse-interaction=b; also=gatehouse-x; gatehouse-c=d";
    await host.ask(path, { token, headers: { cookie } });
    await host.h2.ask({ ":path": path, authorization: `Bearer ${token}`, cookie });
    for (const seen of host.seen) {
      expect(seen.headers.authorization).toBeUndefined();
      expect(seen.headers.cookie).toBe("theirs=1; also=gatehouse-x");
      expect(JSON.stringify(seen)).not.toContain(token.slice(-40));
    }
    expect(host.seen).toHaveLength(2);
  });

  test("a cookie field of ours alone vanishes as a whole", async () => {
    await host.ask("/health", { headers: { cookie: "__Host-gatehouse-state=a" } });
    expect("cookie" in (host.seen[0]?.headers ?? {})).toBe(false);
  });

  test("on an open host both pass: they are the upstream's own", async () => {
    host.configure({ auth_enabled: false });
    await host.ask("/mcp", { headers: { authorization: "Bearer theirs", cookie: "gatehouse-c=d" } });
    expect(host.seen[0]?.headers).toMatchObject({ authorization: "Bearer theirs", cookie: "gatehouse-c=d" });
    host.configure({ oauth_admin_users: ["octocat"], auth_excluded_paths: ["/health"] });
  });
});

describe("scopes follow the lists, not the token alone (contract section 4)", () => {
  test("a token loses what its user's lists give no more, and never gains", async () => {
    const token = await host.mint({ scope: "admin user mcp" });
    host.configure({ oauth_admin_users: [] });
    await host.ask("/mcp", { token });
    expect(host.seen[0]?.headers["x-auth-scopes"]).toBe("user mcp");
    host.configure({ oauth_admin_users: ["octocat"] });
    await host.ask("/mcp", { token: await host.mint({ scope: "mcp" }) });
    expect(host.seen[1]?.headers["x-auth-scopes"]).toBe("mcp");
  });

  test("who may not log in any more: 401 at once, and another user of the same name is somebody else", async () => {
    const token = await host.mint();
    host.configure({ auth_required_users: ["hubot"] });
    host.records.length = 0;
    expect((await host.ask("/mcp", { token })).status).toBe(401);
    expect((await host.lastRecord(1)).reason).toBe("invalid_token: user_not_allowed (RFC 6750 3.1)");
    host.configure({ auth_required_users: ["id:583231"] });
    expect((await host.ask("/mcp", { token })).status).toBe(200);
    expect((await host.ask("/mcp", { token: await host.mint({ uid: "github:1" }) })).status).toBe(401);
    host.configure({ auth_required_users: [] });
    expect((await host.ask("/mcp", { token })).status).toBe(401);
    host.configure();
  });

  test("memberships are known from the grant", async () => {
    host.configure({ auth_required_users: ["org:acme"] });
    expect((await host.ask("/mcp", { token: await host.mint({ organisations: ["acme"] }) })).status).toBe(
      200,
    );
    expect((await host.ask("/mcp", { token: await host.mint({ organisations: ["other"] }) })).status).toBe(
      401,
    );
    host.configure();
  });
});
