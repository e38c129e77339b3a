import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import {
  inOrder,
  matchesPath,
  matchesPattern,
  messageNeeds,
  satisfies,
  ScopeRules,
} from "../src/protected-resource/scope-rules.ts";

function rules(
  scope_rules: ConstructorParameters<typeof ScopeRules>[0]["scope_rules"] = [],
  endpoint = "/mcp",
): ScopeRules {
  return new ScopeRules({ resource_endpoint: endpoint, scope_rules });
}

const get = (path: string): { method: string; path: string; mayBeJson: boolean } => ({
  method: "GET",
  path,
  mayBeJson: false,
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

  test("the endpoint is told letter by letter, with or without a slash at its end", () => {
    for (const endpoint of ["/mcp", "/mcp/"]) {
      const policy = rules([], endpoint);
      expect(["/mcp", "/mcp/", "/mcp/x"].every((path) => policy.isEndpoint(path))).toBe(true);
      expect(["/mcpx", "/MCP", "/mcp;x", "/a/mcp"].some((path) => policy.isEndpoint(path))).toBe(false);
    }
    expect(rules([], "/a/b").isEndpoint("/a/b/c")).toBe(true);
  });

  test("admin is enough for everything, user is not for mcp (MCP, scope hierarchy)", () => {
    expect(satisfies(["admin"], ["user", "mcp", "reports"])).toBe(true);
    expect(satisfies(["user"], ["mcp"])).toBe(false);
    expect(satisfies(["user"], ["user", "mcp"])).toBe(false);
    expect(satisfies(["mcp", "user"], ["user", "mcp"])).toBe(true);
    expect(satisfies([], [])).toBe(true);
  });
});

test("scopes are told once each, in the order admin user mcp and then as they came", () => {
  expect(inOrder(["reports", "mcp", "billing", "user", "reports", "admin"])).toEqual([
    "admin",
    "user",
    "mcp",
    "reports",
    "billing",
  ]);
});

describe("rules", () => {
  test("add what they name, all that match", () => {
    const policy = rules([
      { methods: ["DELETE"], scope: "admin" },
      { path: "/reports/*", scope: "reports" },
    ]);
    expect(policy.needs({ method: "GET", path: "/reports/1", mayBeJson: false })).toEqual([
      "user",
      "reports",
    ]);
    expect(policy.needs({ method: "DELETE", path: "/reports/1", mayBeJson: false })).toEqual([
      "admin",
      "user",
      "reports",
    ]);
    expect(policy.needs(get("/reportsx"))).toEqual(["user"]);
    expect(policy.needs(get("/reports"))).toEqual(["user", "reports"]);
  });

  test("match an exact path with and without a slash at the end", () => {
    for (const ruled of ["/admin", "/admin/"]) {
      const policy = rules([{ path: ruled, scope: "admin" }]);
      for (const path of ["/admin", "/admin/", "/Admin/;x"])
        expect(policy.needs(get(path))).toContain("admin");
      expect(policy.needs(get("/admin/x"))).not.toContain("admin");
    }
    const root = rules([{ path: "/", scope: "admin" }]);
    expect(root.needs(get("/"))).toContain("admin");
    expect(root.needs(get("/x"))).not.toContain("admin");
  });

  test("match a path in any letter case and with path parameters, and HEAD as GET", () => {
    const policy = rules([{ methods: ["GET"], path: "/Admin/*", scope: "admin" }]);
    for (const path of ["/admin/x", "/ADMIN", "/admin;a=b/x"])
      expect(policy.needs(get(path))).toContain("admin");
    expect(policy.needs({ method: "HEAD", path: "/admin", mayBeJson: false })).toContain("admin");
  });

  test("about one method say nothing of another, and HEAD is no other method's", () => {
    const needs = (method: string, ruled: string): readonly string[] =>
      rules([{ methods: [ruled], scope: "admin" }]).needs({ method, path: "/x", mayBeJson: false });
    expect(needs("POST", "GET")).toEqual(["user"]);
    expect(needs("HEAD", "POST")).toEqual(["user"]);
    expect(needs("HEAD", "HEAD")).toEqual(["admin", "user"]);
  });

  test("about messages ask nothing of a request as such, others nothing of a message", () => {
    const policy = rules([
      { tool: "delete_*", scope: "admin" },
      { mcp_method: "resources/*", scope: "reports" },
      { path: "/mcp", scope: "user" },
    ]);
    expect(policy.needs(get("/mcp"))).toEqual(["user", "mcp"]);
    expect(policy.messageRules({ method: "POST", path: "/mcp", mayBeJson: true })).toEqual([
      { mcpMethod: "tools/call", name: "delete_*", scope: "admin" },
      { mcpMethod: "resources/*", name: undefined, scope: "reports" },
    ]);
  });

  test("can't take anything away", () => {
    const policy = rules([{ path: "/mcp", scope: "user" }]);
    expect(policy.needs(get("/mcp"))).toEqual(["user", "mcp"]);
  });

  test("about messages hold on the endpoint, and for JSON anywhere, unless they have a path", () => {
    const anywhere = rules([{ tool: "delete_*", scope: "admin" }]);
    const post = (path: string, mayBeJson: boolean): number =>
      anywhere.messageRules({ method: "POST", path, mayBeJson }).length;
    expect([post("/mcp", false), post("/MCP", false), post("/mcp;x", false)]).toEqual([1, 1, 1]);
    expect([post("/upload", false), post("/upload", true)]).toEqual([0, 1]);
    const placed = rules([{ tool: "delete_*", path: "/mcp", scope: "admin" }]);
    expect(placed.messageRules({ method: "POST", path: "/upload", mayBeJson: true })).toEqual([]);
    const elsewhere = rules([{ tool: "delete_*", path: "/upload", scope: "admin" }]);
    expect(elsewhere.messageRules({ method: "POST", path: "/upload", mayBeJson: false })).toHaveLength(1);
  });

  test("a tool alone means tools/call; a batch needs the union; a message nobody can see needs all", () => {
    const list = rules([
      { tool: "delete_*", scope: "admin" },
      { mcp_method: "resources/*", scope: "reports" },
    ]).messageRules({ method: "POST", path: "/mcp", mayBeJson: true });
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
    ["*ab*b", "ab", false],
    ["a*b*b", "ab", false],
    ["a*b*b", "abb", true],
    ["*a*a*", "a", false],
    ["*a*a*", "aa", true],
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
