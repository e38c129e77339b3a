import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { clientKey, tokenKey } from "@gatehouse/shared/redis-keys";
import { Harness, OCTOCAT } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
afterAll(async () => {
  await host.stop();
});

describe("RFC 9068: access tokens", () => {
  test("are signed JWTs that the key set verifies, with every claim of the profile", async () => {
    const { form, answer } = await host.tokens();
    expect(answer.json).toMatchObject({ token_type: "Bearer", expires_in: 1800, scope: "admin user mcp" });
    expect(answer.json["id_token"]).toBeUndefined();
    expect(answer.headers["cache-control"]).toBe("no-store");
    const { json: jwks } = await host.request("/jwks");
    const { payload, protectedHeader } = await jwtVerify(
      answer.json["access_token"],
      createLocalJWKSet(jwks as { keys: [] }),
      { typ: "at+jwt", issuer: host.origin, audience: `${host.origin}/mcp`, algorithms: ["RS256"] },
    );
    expect(protectedHeader).toEqual({ alg: "RS256", typ: "at+jwt", kid: jwks["keys"][0].kid });
    expect(payload).toEqual({
      iss: host.origin,
      sub: "octocat",
      uid: "github:583231",
      email: "octocat@github.com",
      aud: [`${host.origin}/mcp`],
      client_id: form["client_id"],
      scope: "admin user mcp",
      jti: expect.any(String),
      iat: expect.any(Number),
      exp: (payload.iat ?? 0) + 1800,
    });
  });

  test("have no e-mail where the provider told none", async () => {
    host.login.identity = { ...OCTOCAT, email: null };
    const { answer } = await host.tokens();
    host.login.identity = OCTOCAT;
    const claims = JSON.parse(Buffer.from(answer.json["access_token"].split(".")[1], "base64url").toString());
    expect("email" in claims).toBe(false);
  });

  test("are on record, without the token, until they end", async () => {
    const { form, answer } = await host.tokens();
    const claims = JSON.parse(Buffer.from(answer.json["access_token"].split(".")[1], "base64url").toString());
    const key = tokenKey(claims.jti);
    expect(JSON.parse((await host.redis.get(key)) ?? "")).toEqual({
      hostname: host.hostname,
      jti: claims.jti,
      sub: "octocat",
      uid: "github:583231",
      client_id: form["client_id"],
      scope: "admin user mcp",
      aud: [`${host.origin}/mcp`],
      iss: host.origin,
      iat: claims.iat,
      exp: claims.exp,
      grant_id: expect.any(String),
    });
    expect(await host.redis.ttl(key)).toBeGreaterThan(1790);
  });

  test("count as uses of their client, and renew it for 90 days", async () => {
    const { form, answer, refresh } = await host.tokens();
    const key = clientKey(form["client_id"] ?? "");
    const before = Math.floor(Date.now() / 1000);
    await host.post("/token", refresh(answer.json["refresh_token"]));
    const client = JSON.parse((await host.redis.get(key)) ?? "");
    expect(client.usage_count).toBe(2);
    expect(client.last_token_issued).toBeGreaterThanOrEqual(before);
    expect(await host.redis.ttl(key)).toBeGreaterThan(90 * 86_400 - 60);
  });

  test("are not handed out when their record can't be written", async () => {
    const { form } = await host.code();
    // A read-only user in the middle of the flow: the code is consumed, the record refused.
    await host.redis.call(
      "ACL",
      "SETUSER",
      "default",
      "resetkeys",
      "~oauth:c*",
      "~oauth:g*",
      "~oauth:i*",
      "~oauth:k*",
    );
    const answer = await host.post("/token", form);
    await host.redis.call("ACL", "SETUSER", "default", "~*");
    expect(answer.status).toBe(500);
    expect(answer.json["access_token"]).toBeUndefined();
    expect(answer.json["error"]).toBe("server_error");
  });

  test("a scope list that a host grants in another order keeps the grant's order", async () => {
    host.login.scopes = ["user", "mcp"];
    const { answer } = await host.tokens({ parameters: { scope: "mcp user nonsense" } });
    host.login.scopes = ["admin", "user", "mcp"];
    expect(answer.json["scope"]).toBe("user mcp");
    expect(host.login.seen?.requestedScopes).toEqual(["user", "mcp"]);
  });
});

describe("the token endpoint", () => {
  test.each([
    ["application/json", JSON.stringify({ grant_type: "authorization_code" })],
    ["text/plain", "grant_type=authorization_code"],
  ])("takes forms only, not %s", async (type, body) => {
    const answer = await host.request("/token", { method: "POST", headers: { "content-type": type }, body });
    expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_request"]);
  });

  test("ignores the query", async () => {
    const { form } = await host.code();
    const query = new URLSearchParams(form).toString();
    expect((await host.post(`/token?${query}`, {})).status).toBe(400);
  });

  test.each(["password", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code", "implicit"])(
    "does not know %s",
    async (grantType) => {
      const { form } = await host.code();
      const answer = await host.post("/token", { ...form, grant_type: grantType });
      expect([answer.status, answer.json["error"]]).toEqual([400, "unsupported_grant_type"]);
    },
  );

  test("an unknown client learns that it is, and a failed Basic attempt is challenged (RFC 6749 section 5.2)", async () => {
    const unknown = await host.post("/token", {
      grant_type: "refresh_token",
      refresh_token: "x",
      client_id: "client_nobody",
    });
    expect([unknown.status, unknown.json["error"]]).toEqual([401, "invalid_client"]);
    const basic = await host.post(
      "/token",
      { grant_type: "refresh_token", refresh_token: "x" },
      { authorization: `Basic ${Buffer.from("client_nobody:secret").toString("base64")}` },
    );
    expect(basic.status).toBe(401);
    expect(basic.headers["www-authenticate"]).toMatch(/^Basic /);
  });

  test("a body over the bound is refused before it is read", async () => {
    const answer = await host.post("/token", { grant_type: "authorization_code", code: "x".repeat(40_000) });
    expect(answer.status).toBe(413);
  });
});

test("the protected header carries no key of the token's own", async () => {
  const { answer } = await host.tokens();
  expect(Object.keys(decodeProtectedHeader(answer.json["access_token"])).toSorted()).toEqual([
    "alg",
    "kid",
    "typ",
  ]);
});
