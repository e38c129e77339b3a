import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { canonicalResource } from "../src/oauth/resource.ts";
import { Harness } from "./support/authorization-server-harness.ts";

const HOST = { origin: "https://simple-oauth.example.com", endpoint: "/mcp" };

describe("canonicalResource", () => {
  test.each([
    [undefined, "https://simple-oauth.example.com/mcp"],
    ["https://simple-oauth.example.com/mcp", "https://simple-oauth.example.com/mcp"],
    ["https://simple-oauth.example.com/mcp/", "https://simple-oauth.example.com/mcp"],
    ["HTTPS://Simple-OAuth.Example.COM/mcp", "https://simple-oauth.example.com/mcp"],
    ["https://simple-oauth.example.com:443/mcp", "https://simple-oauth.example.com/mcp"],
    ["https://simple-oauth.example.com", "https://simple-oauth.example.com"],
    ["https://simple-oauth.example.com/", "https://simple-oauth.example.com"],
  ])("%s is %s", (raw, canonical) => {
    expect(canonicalResource(raw, HOST)).toBe(canonical);
  });

  test.each([
    "https://other.example.com/mcp",
    "https://simple-oauth.example.com.evil.example/mcp",
    "https://simple-oauth.example.com:8443/mcp",
    "http://simple-oauth.example.com/mcp",
    "https://simple-oauth.example.com/mcp#",
    "https://simple-oauth.example.com/mcp#part",
    "https://simple-oauth.example.com/mcp?x=1",
    "https://user@simple-oauth.example.com/mcp",
    "https://simple-oauth.example.com/other",
    "https://simple-oauth.example.com/MCP",
    "/mcp",
    "mcp",
    "",
    " https://simple-oauth.example.com/mcp",
  ])("%j is none of this host's", (raw) => {
    expect(canonicalResource(raw, HOST)).toBeUndefined();
  });

  test("an endpoint at the root is the origin", () => {
    expect(canonicalResource(undefined, { ...HOST, endpoint: "/" })).toBe(HOST.origin);
    expect(canonicalResource(`${HOST.origin}/`, { ...HOST, endpoint: "/" })).toBe(HOST.origin);
  });
});

describe("RFC 8707 at the endpoints", () => {
  let host: Harness;
  beforeAll(async () => {
    host = await Harness.start();
  });
  afterAll(async () => {
    await host.stop();
  });

  test.each([
    ["nothing", undefined, ["https://simple-oauth.example.com/mcp"]],
    ["the endpoint", "https://simple-oauth.example.com/mcp", ["https://simple-oauth.example.com/mcp"]],
    [
      "the endpoint in capitals",
      "HTTPS://SIMPLE-OAUTH.EXAMPLE.COM/mcp",
      ["https://simple-oauth.example.com/mcp"],
    ],
    ["the origin", "https://simple-oauth.example.com", ["https://simple-oauth.example.com"]],
    ["the origin with a slash", "https://simple-oauth.example.com/", ["https://simple-oauth.example.com"]],
  ])("asking for %s gives the audience as a list", async (_name, resource, aud) => {
    const parameters = resource === undefined ? {} : { resource };
    const flow = await host.code({ parameters });
    // Clients repeat it in the token request, as they wrote it.
    const answer = await host.post("/token", { ...flow.form, ...parameters });
    expect(decodeJwt(answer.json["access_token"]).aud).toEqual(aud);
    const refreshed = await host.post("/token", {
      grant_type: "refresh_token",
      refresh_token: answer.json["refresh_token"],
      client_id: flow.form["client_id"] ?? "",
      ...parameters,
    });
    expect(decodeJwt(refreshed.json["access_token"]).aud).toEqual(aud);
  });

  test.each(["https://other.example.com/mcp", "https://simple-oauth.example.com/mcp#x", "not a url"])(
    "%s is refused with invalid_target",
    async (resource) => {
      const { end } = await host.code({ parameters: { resource } });
      expect(end.params.get("error")).toBe("invalid_target");
      expect(end.params.get("iss")).toBe(host.origin);
    },
  );

  test("a token request can't move to a resource that was not asked for", async () => {
    const flow = await host.code({ parameters: { resource: "https://simple-oauth.example.com/mcp" } });
    const answer = await host.post("/token", { ...flow.form, resource: "https://simple-oauth.example.com" });
    expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_target"]);
  });

  test("of several resources a token gets one: the endpoint, unless it says otherwise", async () => {
    const parameters = new URLSearchParams([
      ["resource", "https://simple-oauth.example.com/"],
      ["resource", "https://simple-oauth.example.com/mcp"],
    ]);
    const client = await host.register({
      redirect_uris: ["https://client.example/cb"],
      token_endpoint_auth_method: "none",
    });
    for (const [name, value] of [
      ["response_type", "code"],
      ["client_id", client.json["client_id"]],
      ["redirect_uri", "https://client.example/cb"],
      ["code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
      ["code_challenge_method", "S256"],
    ] as const) {
      parameters.set(name, value);
    }
    const { params } = await host.authorize(parameters);
    const answer = await host.post("/token", {
      grant_type: "authorization_code",
      code: params.get("code") ?? "",
      redirect_uri: "https://client.example/cb",
      client_id: client.json["client_id"],
      code_verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    });
    expect(decodeJwt(answer.json["access_token"]).aud).toEqual(["https://simple-oauth.example.com/mcp"]);
  });
});
