import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { clientKey } from "@gatehouse/shared/redis-keys";
import { Harness, PUBLIC_CLIENT, type Answer } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start();
});
afterAll(async () => {
  await host.stop();
});

async function manage(client: Answer, method: string, body?: Record<string, unknown>): Promise<Answer> {
  return await host.request(new URL(client.json["registration_client_uri"]).pathname, {
    method,
    headers: {
      authorization: `Bearer ${client.json["registration_access_token"]}`,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

describe("RFC 7592", () => {
  test("GET shows the client as it was registered, without the secret, which nobody knows any more", async () => {
    const client = await host.register({ redirect_uris: ["https://client.example/cb"], client_name: "One" });
    const { status, json, headers } = await manage(client, "GET");
    const { client_secret: _secret, client_secret_expires_at: _expires, ...rest } = client.json;
    expect(status).toBe(200);
    expect(json).toEqual(rest);
    expect(headers["cache-control"]).toBe("no-store");
    expect(headers["access-control-allow-origin"]).toBe("*");
  });

  test("PUT replaces the metadata, and keeps secret and uses", async () => {
    const client = await host.register({ redirect_uris: ["https://client.example/cb"], client_name: "One" });
    const { client_id: id, client_secret: secret } = client.json;
    await host.tokens({ client });
    const update = { client_id: id, client_secret: secret, redirect_uris: ["https://client.example/new"] };
    const { status, json, text } = await manage(client, "PUT", update);
    expect(status).toBe(200);
    expect(json["redirect_uris"]).toEqual(["https://client.example/new"]);
    expect(json["client_name"]).toBeUndefined();
    expect(text).not.toContain("sha256:");
    const record = JSON.parse((await host.redis.get(clientKey(id))) ?? "");
    expect(record).toMatchObject({ usage_count: 1, redirect_uris: ["https://client.example/new"] });
    const { form } = await host.code({ client: { ...client, json: { ...client.json, ...update } } });
    expect((await host.post("/token", { ...form, client_secret: secret })).status).toBe(200);
    expect((await manage(client, "GET")).status).toBe(200);
  });

  test("PUT that asks for a secret shows the new one once", async () => {
    const client = await host.register(PUBLIC_CLIENT);
    const { client_id: id } = client.json;
    const update = { ...PUBLIC_CLIENT, client_id: id, token_endpoint_auth_method: "client_secret_post" };
    const { json } = await manage(client, "PUT", update);
    expect(json["client_secret"]).toMatch(/^[\w-]{43}$/);
    expect((await manage(client, "GET")).json["client_secret"]).toBeUndefined();
    const { form } = await host.code({ client });
    expect((await host.post("/token", form)).status).toBe(401);
    expect((await host.post("/token", { ...form, client_secret: json["client_secret"] })).status).toBe(200);
  });

  test("PUT holds redirect URIs to the same policy", async () => {
    const client = await host.register(PUBLIC_CLIENT);
    const update = { client_id: client.json["client_id"], redirect_uris: ["http://evil.example/cb"] };
    const { status, json } = await manage(client, "PUT", update);
    expect([status, json["error"]]).toEqual([400, "invalid_redirect_uri"]);
  });

  test.each([
    ["without client_id", {}],
    ["with another client_id", { client_id: "client_other" }],
    ["with a wrong secret", { client_secret: "wrong" }],
    ["with registration_access_token", { registration_access_token: "x" }],
    ["with registration_client_uri", { registration_client_uri: "https://x.example/" }],
    ["with client_id_issued_at", { client_id_issued_at: 1 }],
  ])("PUT %s is refused (section 2.2)", async (name, extra) => {
    const client = await host.register({ redirect_uris: ["https://client.example/cb"] });
    const id = name === "without client_id" ? {} : { client_id: client.json["client_id"] };
    const body = { ...id, redirect_uris: ["https://client.example/cb"], ...extra };
    const { status, json } = await manage(client, "PUT", body);
    expect([status, json["error"]]).toEqual([400, "invalid_request"]);
  });

  test("DELETE ends the client with its grants and tokens", async () => {
    const flow = await host.tokens();
    const { client, answer } = flow;
    const gone = await manage(client, "DELETE");
    expect([gone.status, gone.text]).toEqual([204, ""]);
    expect(await host.redis.get(clientKey(client.json["client_id"]))).toBeNull();
    expect(await host.redis.keys("oauth:token:*")).not.toContain(expect.stringContaining("jti"));
    const refreshed = await host.post("/token", flow.refresh(answer.json["refresh_token"]));
    expect([refreshed.status, refreshed.json["error"]]).toEqual([401, "invalid_client"]);
    expect((await manage(client, "GET")).status).toBe(401);
    const members = await host.redis.keys(`oauth:client-grants:*${client.json["client_id"]}`);
    expect(members).toEqual([]);
  });

  test("a bad, missing or foreign registration access token gets 401 and nothing else", async () => {
    const client = await host.register(PUBLIC_CLIENT);
    const other = await host.register(PUBLIC_CLIENT);
    const path = `/register/${client.json["client_id"]}`;
    for (const headers of [
      {},
      { authorization: "Bearer wrong" },
      { authorization: `Bearer ${other.json["registration_access_token"]}` },
    ]) {
      for (const method of ["GET", "DELETE"]) {
        const { status, headers: answered } = await host.request(path, { method, headers });
        expect(status).toBe(401);
        expect(answered["www-authenticate"]).toMatch(/^Bearer /);
      }
    }
    // The token of the one that tried is not spent by the attempt.
    expect((await manage(other, "GET")).status).toBe(200);
    expect((await manage(client, "GET")).status).toBe(200);
  });

  test("an unknown client is as a bad token: no oracle for ids", async () => {
    const { status } = await host.request("/register/client_nobody", {
      headers: { authorization: "Bearer x" },
    });
    expect(status).toBe(401);
  });

  test("the hash in the record is not the token", async () => {
    const client = await host.register(PUBLIC_CLIENT);
    const record = JSON.parse((await host.redis.get(clientKey(client.json["client_id"]))) ?? "");
    const { status } = await host.request(`/register/${client.json["client_id"]}`, {
      headers: { authorization: `Bearer ${record.registration_access_token_hash}` },
    });
    expect(status).toBe(401);
  });
});
