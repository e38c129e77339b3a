import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Harness, PUBLIC_CLIENT } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
afterAll(async () => {
  await host.stop();
});

const ISSUER = "https://simple-oauth.example.com";
const FORMS = [
  "/.well-known/oauth-authorization-server",
  "/.well-known/oauth-authorization-server/mcp",
  "/.well-known/openid-configuration",
  "/.well-known/openid-configuration/mcp",
];

describe("authorization server metadata", () => {
  test.each(FORMS)("%s names this host's endpoints", async (path) => {
    const { status, headers, json } = await host.request(path);
    expect(status).toBe(200);
    expect(headers["content-type"]).toBe("application/json");
    expect(headers["access-control-allow-origin"]).toBe("*");
    expect(json).toMatchObject({
      issuer: ISSUER,
      authorization_endpoint: `${ISSUER}/authorize`,
      token_endpoint: `${ISSUER}/token`,
      registration_endpoint: `${ISSUER}/register`,
      jwks_uri: `${ISSUER}/jwks`,
      revocation_endpoint: `${ISSUER}/revoke`,
      introspection_endpoint: `${ISSUER}/introspect`,
      response_types_supported: ["code"],
      response_modes_supported: ["query"],
      grant_types_supported: ["authorization_code", "refresh_token"],
      code_challenge_methods_supported: ["S256"],
      token_endpoint_auth_methods_supported: [
        "none",
        "client_secret_post",
        "client_secret_basic",
        "private_key_jwt",
      ],
      authorization_response_iss_parameter_supported: true,
      client_id_metadata_document_supported: true,
    });
  });

  test("scopes are those that can be granted: no openid, no offline_access", async () => {
    const { json } = await host.request(FORMS[0] ?? "");
    expect(json["scopes_supported"]).toEqual(["user", "mcp"]);
  });

  test.each([
    ["that have an entry", { oauth_admin_users: ["alice"] }, ["admin", "user", "mcp"]],
    ["that there are", { auth_allowed_scopes: ["mcp", "reports"] }, ["mcp"]],
    ["none, unlisted", { oauth_user_users: [], oauth_mcp_users: [] }, undefined],
  ])("scopes are those of lists %s, in the answer to a registration too", async (_name, config, scopes) => {
    host.configure(config);
    const { json } = await host.request(FORMS[0] ?? "");
    const registered = await host.register(PUBLIC_CLIENT);
    host.configure({});
    expect(json["scopes_supported"]).toEqual(scopes);
    expect(registered.json["scope"]).toBe(scopes?.join(" "));
  });

  test("the path of another endpoint has no document", async () => {
    expect((await host.request("/.well-known/oauth-authorization-server/other")).status).toBe(404);
  });

  test("a Host of somebody else changes nothing in it", async () => {
    const { json } = await host.request(FORMS[0] ?? "", { headers: { host: "evil.example" } });
    expect(json["token_endpoint"]).toBe(`${ISSUER}/token`);
  });

  test("it follows the host config", async () => {
    host.configure({ auth_allowed_scopes: ["mcp"], resource_endpoint: "/v2/mcp" });
    const { json } = await host.request("/.well-known/oauth-authorization-server/v2/mcp");
    expect(json["scopes_supported"]).toEqual(["mcp"]);
    expect((await host.request("/.well-known/oauth-authorization-server/mcp")).status).toBe(404);
    host.configure({});
  });

  test("OpenID clients find the members their parsers insist on", async () => {
    const { json } = await host.request("/.well-known/openid-configuration");
    expect(json["subject_types_supported"]).toEqual(["public"]);
    expect(json["id_token_signing_alg_values_supported"]).toEqual(["RS256"]);
    expect(json["scopes_supported"]).not.toContain("openid");
  });
});

describe("methods and origins", () => {
  test.each([
    ["/token", "GET", "POST"],
    ["/register", "GET", "POST"],
    ["/authorize", "POST", "HEAD, GET"],
    ["/jwks", "POST", "HEAD, GET"],
    ["/.well-known/oauth-authorization-server", "POST", "HEAD, GET"],
  ])("%s refuses %s and says what it takes", async (path, method, allow) => {
    const { status, headers } = await host.request(path, { method });
    expect(status).toBe(405);
    expect(headers.allow).toBe(allow);
  });

  test.each([
    "/register",
    "/token",
    "/revoke",
    "/introspect",
    "/jwks",
    "/.well-known/oauth-authorization-server",
    "/register/client_x",
  ])("%s answers a preflight", async (path) => {
    const { status, headers } = await host.request(path, {
      method: "OPTIONS",
      headers: {
        origin: "http://localhost:6274",
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,mcp-protocol-version",
      },
    });
    expect(status).toBe(204);
    expect(headers["access-control-allow-origin"]).toBe("*");
    expect(headers["access-control-allow-headers"]).toMatch(/mcp-protocol-version/);
  });

  test("/authorize has no CORS (RFC 9700 section 2.6)", async () => {
    const { headers } = await host.request("/authorize", { headers: { origin: "https://evil.example" } });
    expect(headers["access-control-allow-origin"]).toBeUndefined();
  });

  test("names are exact: no other case, no trailing slash", async () => {
    for (const path of ["/TOKEN", "/token/", "/Authorize"]) {
      expect((await host.request(path, { method: "POST" })).status).toBe(418);
    }
  });

  test("on an open host nothing is ours", async () => {
    host.configure({ auth_enabled: false });
    for (const path of [...FORMS, "/authorize", "/jwks", "/register/x"]) {
      expect((await host.request(path)).status).toBe(418);
    }
    expect((await host.request("/token", { method: "OPTIONS" })).status).toBe(418);
    host.configure({});
  });
});
