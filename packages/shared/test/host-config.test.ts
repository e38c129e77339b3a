import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { parseHostConfig, parseUpstream } from "../src/host-config.ts";

const parse = (document: object) => parseHostConfig(JSON.stringify(document));
const open = { target_url: "http://127.0.0.1:3001" };

function problems(document: object): string[] {
  const parsed = parse(document);
  return parsed.ok ? [] : parsed.problems.map((problem) => `${problem.key}: ${problem.expected}`);
}

describe("a host config document", () => {
  test("of an open host needs its target only; defaults are those of the contract", () => {
    expect(parse(open)).toEqual({
      ok: true,
      config: {
        target_url: "http://127.0.0.1:3001",
        enabled: true,
        maintenance: false,
        auth_enabled: false,
        auth_allowed_scopes: ["admin", "user", "mcp"],
        oauth_admin_users: [],
        oauth_user_users: ["*"],
        oauth_mcp_users: ["*"],
        scope_assignment: "config",
        auth_excluded_paths: [],
        resource_endpoint: "/mcp",
        resource_scopes: ["mcp"],
        scope_rules: [],
        identity_provider: "github",
        preserve_host_header: false,
        custom_headers: {},
        certificate: "acme",
      },
    });
  });

  test("pasted from the logged system is taken as it is", () => {
    const logged = {
      ...open,
      auth_enabled: true,
      auth_required_users: ["*"],
      auth_allowed_scopes: ["admin", "user", "mcp"],
      oauth_admin_users: ["octocat"],
      oauth_user_users: ["*"],
      oauth_mcp_users: ["*"],
      resource_endpoint: "/mcp",
      resource_scopes: ["admin", "user", "mcp"],
    };
    expect(parse(logged)).toMatchObject({ ok: true, config: logged });
  });

  test("with auth on but nobody named is an error that says so, never open", () => {
    expect(problems({ ...open, auth_enabled: true })).toEqual([
      'auth_required_users: is required when auth_enabled is true (["*"] for everyone, [] for nobody)',
    ]);
    expect(parse({ ...open, auth_enabled: true, auth_required_users: [] }).ok).toBe(true);
  });

  test.each(["/token", "/register/x", "/.well-known/mcp"])(
    "with its endpoint at %s, which is ours, is refused",
    (endpoint) => {
      const document = { ...open, resource_endpoint: endpoint };
      expect(parse(document).ok).toBe(true);
      expect(problems({ ...document, auth_enabled: true, auth_required_users: ["*"] })).toEqual([
        "resource_endpoint: must not be a path of the authorization server",
      ]);
    },
  );

  test("lists every problem at once, unknown keys included", () => {
    expect(
      problems({
        target_url: "ftp://x",
        enabld: true,
        scope_assignment: "all",
        allowed_addresses: ["10.0.0.0/99"],
      }),
    ).toEqual([
      "target_url: must be http://, https:// or unix:/path, without credentials, query or fragment",
      expect.stringMatching(/^scope_assignment: /),
      "allowed_addresses: must be addresses or CIDR blocks",
      "enabld: is not a field of a host config",
    ]);
  });

  test.each([
    ["target_url", {}],
    ["auth_excluded_paths.0", { ...open, auth_excluded_paths: ["/a*b"] }],
    ["auth_excluded_paths.0", { ...open, auth_excluded_paths: ["health"] }],
    ["custom_headers.x", { ...open, custom_headers: { x: "a\r\nX-Auth-User: root" } }],
    ["allowed_origins.0", { ...open, allowed_origins: ["https://app.example/path"] }],
    ["target_ca_pem", { ...open, target_ca_pem: "not a certificate" }],
    ["oidc_issuer", { ...open, identity_provider: "oidc", oidc_client_id: "a", oidc_client_secret: "b" }],
    ["github_client_id, github_client_secret", { ...open, github_client_id: "a" }],
  ])("names %s when that is wrong", (key, document) => {
    expect(problems(document).some((problem) => problem.startsWith(`${key}: `))).toBe(true);
  });

  test("a secret is never quoted in a problem, nor is the text of a document that is no JSON", () => {
    expect(JSON.stringify(parse({ ...open, github_client_secret: 42_424_242 }))).not.toContain("42424242");
    expect(JSON.stringify(parseHostConfig('{"github_client_secret": hunter2}'))).not.toContain("hunter2");
  });

  test("nothing of a document is quoted, whatever is wrong with it and wherever a secret slipped in", () => {
    const secret = fc.stringMatching(/^[A-Za-z0-9]{24}$/).map((text) => `${text}7`);
    const places: ((text: string) => object)[] = [
      (text) => ({ target_url: `http://user:${text}@127.0.0.1` }),
      (text) => ({ target_url: `http://127.0.0.1/?key=${text}` }),
      (text) => ({ ...open, custom_headers: { "x-key": `${text}\n` } }),
      (text) => ({ ...open, custom_headers: { [`x-key: ${text}`]: "" } }),
      (text) => ({ ...open, target_ca_pem: text }),
      (text) => ({ ...open, certificate: text }),
      (text) => ({ ...open, resource_endpoint: `/token/${text}`, auth_enabled: true }),
      (text) => ({ ...open, github_client_secret: [text] }),
      (text) => ({ ...open, oidc_issuer: `http://${text}@issuer.example` }),
      (text) => ({ ...open, allowed_addresses: [text] }),
      (text) => ({ ...open, scope_rules: [{ scope: "a b", tool: text, path: text }] }),
      (text) => ({ ...open, [text]: text }),
    ];
    fc.assert(
      fc.property(secret, fc.constantFrom(...places), (text, place) => {
        const parsed = parse(place(text));
        expect(parsed.ok).toBe(false);
        expect(JSON.stringify(parsed)).not.toContain(text);
      }),
    );
  });

  test("any text is answered", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(typeof parseHostConfig(text).ok).toBe("boolean");
      }),
    );
  });
});

describe("a target URL", () => {
  test.each([
    ["http://127.0.0.1:3001", { kind: "tcp", origin: "http://127.0.0.1:3001", basePath: "", tls: false }],
    ["https://up.example/base/", { kind: "tcp", origin: "https://up.example", basePath: "/base", tls: true }],
    ["http://[::1]:80/a//", { kind: "tcp", origin: "http://[::1]", basePath: "/a", tls: false }],
    ["unix:/run/app.sock", { kind: "unix", socketPath: "/run/app.sock" }],
  ])("%p", (text, upstream) => expect(parseUpstream(text)).toEqual(upstream));

  test.each([
    "",
    "127.0.0.1:3001",
    "ftp://a",
    "http://u:p@a",
    "http://a?x=1",
    "http://a#b",
    "unix:rel",
    "file:///etc",
  ])("%p is refused", (text) => expect(parseUpstream(text)).toBeUndefined());
});
