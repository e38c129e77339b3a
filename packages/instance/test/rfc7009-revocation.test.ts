import { decodeJwt } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { tokenKey } from "@gatehouse/shared/redis-keys";
import { Harness, PUBLIC_CLIENT, type TokenFlow } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
afterAll(async () => {
  await host.stop();
});

async function introspect(flow: TokenFlow, token: string): Promise<Record<string, unknown>> {
  const { client_id = "", client_secret } = flow.form;
  const secret = client_secret === undefined ? {} : { client_secret };
  return (await host.post("/introspect", { client_id, token, ...secret })).json;
}

describe("RFC 7009 revocation", () => {
  test("an access token ends at once; its refresh token and siblings stay", async () => {
    const flow = await host.tokens();
    const { client_id = "" } = flow.form;
    const token = flow.answer.json["access_token"];
    const sibling = (await host.post("/token", flow.refresh(flow.answer.json["refresh_token"]))).json;
    const answer = await host.post("/revoke", { client_id, token });
    expect([answer.status, answer.text]).toEqual([200, ""]);
    expect(await host.redis.exists(tokenKey(String(decodeJwt(token).jti)))).toBe(0);
    expect(await introspect(flow, token)).toEqual({ active: false });
    expect((await introspect(flow, sibling["access_token"]))["active"]).toBe(true);
    expect((await host.post("/token", flow.refresh(sibling["refresh_token"]))).status).toBe(200);
  });

  test("a refresh token takes its grant along, access tokens included (section 2.1)", async () => {
    const flow = await host.tokens();
    const { client_id = "" } = flow.form;
    const { access_token: access, refresh_token: token } = flow.answer.json;
    expect((await host.post("/revoke", { client_id, token, token_type_hint: "access_token" })).status).toBe(
      200,
    );
    expect(await introspect(flow, access)).toEqual({ active: false });
    expect((await host.post("/token", flow.refresh(token))).json["error"]).toBe("invalid_grant");
  });

  test.each(["nonsense", "a.b.c", ""])("an unknown token is no error: %j", async (token) => {
    const { json } = await host.register(PUBLIC_CLIENT);
    const answer = await host.post("/revoke", { client_id: json["client_id"], token });
    expect(answer.status).toBe(token === "" ? 400 : 200);
  });

  test("another client's token survives", async () => {
    const flow = await host.tokens();
    const { json } = await host.register(PUBLIC_CLIENT);
    const { access_token: access, refresh_token: refresh } = flow.answer.json;
    for (const token of [access, refresh]) {
      await host.post("/revoke", { client_id: json["client_id"], token });
      expect((await introspect(flow, token))["active"]).toBe(true);
    }
  });

  test("a jti is not the token", async () => {
    const flow = await host.tokens();
    const { client_id = "" } = flow.form;
    const token = flow.answer.json["access_token"];
    await host.post("/revoke", { client_id, token: String(decodeJwt(token).jti) });
    expect((await introspect(flow, token))["active"]).toBe(true);
    expect(await introspect(flow, String(decodeJwt(token).jti))).toEqual({ active: false });
  });

  test("clients authenticate as registered", async () => {
    const client = await host.register({ redirect_uris: ["https://client.example/cb"] });
    const flow = await host.tokens({ client });
    const { client_id = "" } = flow.form;
    const answer = await host.post("/revoke", { client_id, token: flow.answer.json["access_token"] });
    expect([answer.status, answer.json["error"]]).toEqual([401, "invalid_client"]);
  });
});

describe("RFC 7662 introspection", () => {
  test("of an access token tells its own claims", async () => {
    const flow = await host.tokens();
    const token = flow.answer.json["access_token"];
    expect(await introspect(flow, token)).toEqual({
      active: true,
      ...decodeJwt(token),
      username: "octocat",
      token_type: "Bearer",
    });
  });

  test("of a refresh token tells whose it is, and not the token", async () => {
    const flow = await host.tokens();
    const answer = await introspect(flow, flow.answer.json["refresh_token"]);
    expect(answer).toMatchObject({ active: true, uid: "github:583231", client_id: flow.form["client_id"] });
    expect(JSON.stringify(answer)).not.toContain(flow.answer.json["refresh_token"]);
  });

  test("another client learns active: false and nothing else (section 2.2)", async () => {
    const flow = await host.tokens();
    const other = await host.register({ redirect_uris: ["https://other.example/cb"] });
    for (const token of [flow.answer.json["access_token"], flow.answer.json["refresh_token"]]) {
      const { json } = await host.post("/introspect", {
        client_id: other.json["client_id"],
        client_secret: other.json["client_secret"],
        token,
      });
      expect(json).toEqual({ active: false });
    }
  });

  test("nobody learns anything without a client", async () => {
    const flow = await host.tokens();
    const answer = await host.post("/introspect", { token: flow.answer.json["access_token"] });
    expect(answer.status).toBe(400);
    expect(answer.json["active"]).toBeUndefined();
  });

  test("an altered token is inactive", async () => {
    const flow = await host.tokens();
    const [head, body, signature = ""] = flow.answer.json["access_token"].split(".");
    const altered = `${head}.${body}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
    expect(await introspect(flow, altered)).toEqual({ active: false });
  });
});
