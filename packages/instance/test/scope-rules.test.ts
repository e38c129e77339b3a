import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import {
  matchesPath,
  matchesPattern,
  messageNeeds,
  satisfies,
  ScopeRules,
} from "../src/protected-resource/scope-rules.ts";
import { METADATA_URL, parseChallenge, ProtectedHost } from "./support/protected-host.ts";

let host: ProtectedHost;
beforeAll(async () => {
  host = await ProtectedHost.start();
});
afterAll(async () => {
  await host.stop();
});

function rules(
  scope_rules: ConstructorParameters<typeof ScopeRules>[0]["scope_rules"] = [],
  endpoint = "/mcp",
): ScopeRules {
  return new ScopeRules({ resource_endpoint: endpoint, scope_rules });
}

const get = (path: string): { method: string; path: string; isJson: boolean } => ({
  method: "GET",
  path,
  isJson: false,
});

describe("without rules", () => {
  test.each([
    ["/mcp", ["mcp"]],
    ["/mcp/", ["mcp"]],
    ["/mcp/below/it", ["mcp"]],
    ["/mcpx", ["user"]],
    ["/", ["user"]],
    ["/api/mcp", ["user"]],
  ])("%s needs %p", (path, needed) => {
    expect(rules().needs(get(path))).toEqual(needed);
  });

  test.each(["/MCP", "/Mcp/below", "/mcp;v=1", "/mcp;a/below"])(
    "%s, which some upstreams take for the endpoint, needs both scopes",
    (path) => {
      expect(rules().needs(get(path))).toEqual(["user", "mcp"]);
    },
  );

  test("an endpoint at the root covers everything", () => {
    expect(rules([], "/").needs(get("/any/where"))).toEqual(["mcp"]);
  });

  test("admin is enough for everything, user is not for mcp (MCP, scope hierarchy)", () => {
    expect(satisfies(["admin"], ["user", "mcp", "reports"])).toBe(true);
    expect(satisfies(["user"], ["mcp"])).toBe(false);
    expect(satisfies([], [])).toBe(true);
  });
});

describe("rules", () => {
  test("add what they name, all that match", () => {
    const policy = rules([
      { methods: ["DELETE"], scope: "admin" },
      { path: "/reports/*", scope: "reports" },
    ]);
    expect(policy.needs({ method: "GET", path: "/reports/1", isJson: false })).toEqual(["user", "reports"]);
    expect(policy.needs({ method: "DELETE", path: "/reports/1", isJson: false })).toEqual([
      "admin",
      "user",
      "reports",
    ]);
    expect(policy.needs(get("/reportsx"))).toEqual(["user"]);
    expect(policy.needs(get("/reports"))).toEqual(["user", "reports"]);
  });

  test("match a path in any letter case and with path parameters, and HEAD as GET", () => {
    const policy = rules([{ methods: ["GET"], path: "/Admin/*", scope: "admin" }]);
    for (const path of ["/admin/x", "/ADMIN", "/admin;a=b/x"])
      expect(policy.needs(get(path))).toContain("admin");
    expect(policy.needs({ method: "HEAD", path: "/admin", isJson: false })).toContain("admin");
  });

  test("can't take anything away", () => {
    const policy = rules([{ path: "/mcp", scope: "user" }]);
    expect(policy.needs(get("/mcp"))).toEqual(["user", "mcp"]);
  });

  test("about messages hold on the endpoint, and for JSON anywhere, unless they have a path", () => {
    const anywhere = rules([{ tool: "delete_*", scope: "admin" }]);
    const post = (path: string, isJson: boolean): number =>
      anywhere.messageRules({ method: "POST", path, isJson }).length;
    expect([post("/mcp", false), post("/MCP", false), post("/mcp;x", false)]).toEqual([1, 1, 1]);
    expect([post("/upload", false), post("/upload", true)]).toEqual([0, 1]);
    const placed = rules([{ tool: "delete_*", path: "/mcp", scope: "admin" }]);
    expect(placed.messageRules({ method: "POST", path: "/upload", isJson: true })).toEqual([]);
  });

  test("a tool alone means tools/call; a batch needs the union; a message nobody can see needs all", () => {
    const list = rules([
      { tool: "delete_*", scope: "admin" },
      { mcp_method: "resources/*", scope: "reports" },
    ]).messageRules({ method: "POST", path: "/mcp", isJson: true });
    const needs = (...messages: [method: string, name?: string][]): readonly string[] =>
      messageNeeds(
        list,
        messages.map(([method, name]) => ({ method, name })),
      );
    expect(needs(["tools/call", "delete_all"])).toEqual(["admin"]);
    expect(needs(["tools/call", "get_weather"])).toEqual([]);
    expect(needs(["tools/call"])).toEqual(["admin"]);
    expect(needs(["prompts/get", "delete_all"])).toEqual([]);
    expect(needs(["resources/read", "x"], ["tools/call", "delete_x"])).toEqual(["admin", "reports"]);
    expect(messageNeeds(list, [undefined])).toEqual(["admin", "reports"]);
  });
});

describe("patterns", () => {
  test.each([
    ["delete_*", "delete_all", true],
    ["delete_*", "delete_", true],
    ["delete_*", "undelete_all", false],
    ["*_all", "delete_all", true],
    ["a*b*c", "a-b-c", true],
    ["a*b*c", "a-c-b", false],
    ["ab*ba", "aba", false],
    ["*", "", true],
    ["exact", "exact", true],
    ["exact", "exactly", false],
    ["a.c", "abc", false],
  ])("%s against %s: %p", (pattern, text, matches) => {
    expect(matchesPattern(pattern, text)).toBe(matches);
  });

  test("agree with a regular expression, whatever the texts", () => {
    const letters = fc.string({ unit: fc.constantFrom("a", "b", "*"), maxLength: 8 });
    const text = fc.string({ unit: fc.constantFrom("a", "b"), maxLength: 10 });
    fc.assert(
      fc.property(letters, text, (pattern, candidate) => {
        const expected = new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(candidate);
        expect(matchesPattern(pattern, candidate)).toBe(expected);
      }),
    );
  });

  test("many stars stay cheap", () => {
    const started = performance.now();
    expect(matchesPattern("*a".repeat(30) + "b", "a".repeat(100_000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(1000);
  });

  test("paths are matched exactly, or below a prefix", () => {
    expect(matchesPath("/health", "/health")).toBe(true);
    expect(matchesPath("/health", "/healthX")).toBe(false);
    expect(matchesPath("/public/*", "/public/a/b")).toBe(true);
    expect(matchesPath("/public/*", "/publicity")).toBe(false);
    expect(matchesPath("/*", "/anything")).toBe(true);
  });
});

describe("auth_excluded_paths", () => {
  test.each([
    ["/health", 200],
    ["/health/", 401],
    ["/healthX", 401],
    ["/Health", 401],
    ["/public/a/b?x=1", 200],
    ["/public", 200],
    ["/publicity", 401],
    ["/health;x", 401],
  ])("/health and /public/*: %s is answered %i", async (path, status) => {
    host.configure({ auth_excluded_paths: ["/health", "/public/*"] });
    expect((await host.ask(path)).status).toBe(status);
  });

  test.each([
    "//health",
    "/public//../mcp",
    "/%70ublic/x",
    "/public/%2e%2e/mcp",
    "/public/..%2fmcp",
    "/public/%2F",
  ])("%s has a second reading and is refused, not compared", async (path) => {
    host.configure({ auth_excluded_paths: ["/health", "/public/*"] });
    const before = host.seen.length;
    expect((await host.ask(path)).status).toBe(400);
    expect((await host.ask(path, { token: await host.mint() })).status).toBe(400);
    expect(host.seen.length).toBe(before);
  });
});

test("rules are answered with one complete challenge on the wire", async () => {
  host.configure({
    scope_rules: [
      { methods: ["DELETE"], scope: "admin" },
      { path: "/mcp/*", scope: "user" },
    ],
  });
  const token = await host.mint({ scope: "mcp" });
  const answer = await host.ask("/mcp/session", { method: "DELETE", token });
  const { parameters } = parseChallenge(answer.headers["www-authenticate"]);
  expect([answer.status, parameters["scope"]]).toEqual([403, "admin user mcp"]);
  expect(parameters["resource_metadata"]).toBe(METADATA_URL);
  host.configure({ oauth_admin_users: ["octocat"], scope_rules: [{ methods: ["DELETE"], scope: "admin" }] });
  const admin = await host.mint({ scope: "admin" });
  expect((await host.ask("/mcp/session", { method: "DELETE", token: admin })).status).toBe(200);
  host.configure();
});
