/** What a host's rules and excluded paths do to requests on the wire. */
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { METADATA_URL, parseChallenge, ProtectedHost } from "./support/protected-host.ts";

let host: ProtectedHost;
beforeAll(async () => {
  host = await ProtectedHost.start();
});
afterAll(async () => {
  await host.stop();
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
