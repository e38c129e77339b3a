import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import * as oauth from "oauth4webapi";
import { ORIGIN, parseChallenge, ProtectedHost } from "./support/protected-host.ts";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";

let host: ProtectedHost;
beforeAll(async () => {
  host = await ProtectedHost.start();
});
afterAll(async () => {
  await host.stop();
});

describe("RFC 9728 section 3: the metadata of a resource", () => {
  test.each([
    ["the root names the origin", WELL_KNOWN, ORIGIN],
    ["the path form names the endpoint", `${WELL_KNOWN}/mcp`, `${ORIGIN}/mcp`],
  ])("%s (section 3.3)", async (_name, path, resource) => {
    const answer = await host.ask(path);
    expect(answer.status).toBe(200);
    expect(answer.headers["content-type"]).toBe("application/json");
    expect(answer.headers["access-control-allow-origin"]).toBe("*");
    expect(answer.json).toEqual({
      resource,
      authorization_servers: [ORIGIN],
      scopes_supported: ["mcp"],
      bearer_methods_supported: ["header"],
      resource_name: "app.example",
    });
  });

  test("a strict client accepts both, by the URL of the resource (oauth4webapi)", async () => {
    for (const resource of [new URL(`${ORIGIN}/mcp`), new URL(ORIGIN)]) {
      const response = await oauth.resourceDiscoveryRequest(resource, {
        [oauth.customFetch]: async (url) => {
          const answer = await host.ask(new URL(url).pathname);
          return new Response(answer.text, {
            status: answer.status,
            headers: { "content-type": "application/json" },
          });
        },
      });
      const metadata = await oauth.processResourceDiscoveryResponse(resource, response);
      expect(metadata.authorization_servers).toEqual([ORIGIN]);
    }
  });

  test("every challenge leads to the document of the resource that was asked for (section 5.1)", async () => {
    for (const [path, resource] of [
      ["/mcp", `${ORIGIN}/mcp`],
      ["/mcp/below", `${ORIGIN}/mcp`],
      ["/other", ORIGIN],
    ] as const) {
      const { parameters } = parseChallenge((await host.ask(path)).headers["www-authenticate"]);
      const document = await host.ask(new URL(parameters["resource_metadata"] ?? "").pathname);
      expect(document.json["resource"]).toBe(resource);
    }
  });

  test("follows the host config", async () => {
    host.configure({ resource_endpoint: "/api/mcp", resource_scopes: ["mcp", "user"] });
    expect((await host.ask(`${WELL_KNOWN}/api/mcp`)).json).toMatchObject({
      resource: `${ORIGIN}/api/mcp`,
      scopes_supported: ["mcp", "user"],
    });
    expect((await host.ask(`${WELL_KNOWN}/mcp`)).status).toBe(404);
    expect(parseChallenge((await host.ask("/api/mcp")).headers["www-authenticate"]).parameters).toEqual({
      scope: "user mcp",
      resource_metadata: `${ORIGIN}${WELL_KNOWN}/api/mcp`,
    });
    host.configure({ resource_endpoint: "/" });
    expect((await host.ask(WELL_KNOWN)).json["resource"]).toBe(ORIGIN);
    expect(parseChallenge((await host.ask("/any")).headers["www-authenticate"]).parameters).toEqual({
      scope: "mcp",
      resource_metadata: ORIGIN + WELL_KNOWN,
    });
    host.configure();
  });

  test("HEAD has the head, other methods 405, a preflight needs nothing", async () => {
    const head = await host.ask(WELL_KNOWN, { method: "HEAD" });
    expect([head.status, head.text, Number(head.headers["content-length"]) > 0]).toEqual([200, "", true]);
    const post = await host.ask(WELL_KNOWN, { method: "POST" });
    expect([post.status, post.headers.allow]).toEqual([405, "GET, HEAD"]);
    const preflight = await host.ask(`${WELL_KNOWN}/mcp`, {
      method: "OPTIONS",
      headers: { origin: "https://inspector.example", "access-control-request-method": "GET" },
    });
    expect([preflight.status, preflight.headers["access-control-allow-origin"]]).toEqual([204, "*"]);
    expect(preflight.headers["access-control-allow-headers"]).toContain("mcp-protocol-version");
  });

  test("any page may read it, whatever origins may call the host", async () => {
    const answer = await host.ask(WELL_KNOWN, { headers: { origin: "https://elsewhere.example" } });
    expect([answer.status, answer.headers["access-control-allow-origin"]]).toEqual([200, "*"]);
  });
});

describe("other documents below /.well-known/", () => {
  test.each([
    "/.well-known/oauth-protected-resource/elsewhere",
    "/.well-known/oauth-protected-resource/mcp/",
    "/.well-known/oauth-client",
    "/.well-known/openid-federation",
    "/.well-known/OpenID-Configuration",
    "/.well-known/OAUTH-authorization-server",
  ])("%s: 404, with or without a token, never the upstream's", async (path) => {
    const before = host.seen.length;
    expect((await host.ask(path)).status).toBe(404);
    expect((await host.ask(path, { token: await host.mint() })).status).toBe(404);
    host.configure({ auth_excluded_paths: ["/.well-known/*"] });
    expect((await host.ask(path)).status).toBe(404);
    host.configure();
    expect(host.seen.length).toBe(before);
  });

  test("what has nothing to do with OAuth is protected like any path, and may be excluded", async () => {
    expect((await host.ask("/.well-known/security.txt")).status).toBe(401);
    host.configure({ auth_excluded_paths: ["/.well-known/security.txt"] });
    expect((await host.ask("/.well-known/security.txt")).text).toBe("upstream");
    host.configure();
  });

  test("on an open host nothing is ours", async () => {
    host.configure({ auth_enabled: false });
    expect((await host.ask(WELL_KNOWN)).text).toBe("upstream");
    expect((await host.ask("/.well-known/openid-configuration")).text).toBe("upstream");
    host.configure();
  });
});
