import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { clientKey } from "@gatehouse/shared/redis-keys";
import { Harness, PUBLIC_CLIENT } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeAll(async () => {
  host = await Harness.start({ options: { registrationLimits: { perRedirectHost: 5, total: 300 } } });
});
afterEach(async () => {
  for (const key of await host.redis.keys("oauth:registrations:*")) await host.redis.del(key);
});
afterAll(async () => {
  await host.stop();
});

describe("the record of a client", () => {
  test("shows what was registered, and secrets as hashes only", async () => {
    const { json } = await host.register({
      client_name: "Probe",
      redirect_uris: ["https://client.example/cb"],
    });
    const text = (await host.redis.get(clientKey(json["client_id"]))) ?? "";
    expect(JSON.parse(text)).toEqual({
      hostname: host.hostname,
      client_id: json["client_id"],
      client_id_issued_at: json["client_id_issued_at"],
      client_name: "Probe",
      application_type: "web",
      redirect_uris: ["https://client.example/cb"],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "client_secret_basic",
      registration_client_uri: `${host.origin}/register/${json["client_id"]}`,
      client_secret_hash: expect.stringMatching(/^sha256:/),
      client_secret_expires_at: 0,
      registration_access_token_hash: expect.stringMatching(/^sha256:/),
      usage_count: 0,
      last_token_issued: null,
    });
    expect(text).not.toContain(json["client_secret"]);
    expect(text).not.toContain(json["registration_access_token"]);
  });

  test("of one that is never used ends after a day", async () => {
    const { json } = await host.register(PUBLIC_CLIENT);
    const left = await host.redis.ttl(clientKey(json["client_id"]));
    expect(left).toBeGreaterThan(86_400 - 60);
    expect(left).toBeLessThanOrEqual(86_400);
  });
});

describe("what a registration request must be", () => {
  test.each([
    ["a form", "application/x-www-form-urlencoded", "redirect_uris=x"],
    ["broken JSON", "application/json", "{"],
    ["a list", "application/json", "[]"],
    ["JSON under another type", "text/plain", JSON.stringify(PUBLIC_CLIENT)],
  ])("%s is refused", async (_name, type, body) => {
    const answer = await host.request("/register", {
      method: "POST",
      headers: { "content-type": type },
      body,
    });
    expect([answer.status, answer.json["error"]]).toEqual([400, "invalid_request"]);
  });

  test("a charset beside the type does not matter", async () => {
    const answer = await host.request("/register", {
      method: "POST",
      headers: { "content-type": "application/json; charset=utf-8" },
      body: JSON.stringify(PUBLIC_CLIENT),
    });
    expect(answer.status).toBe(201);
  });

  test("it can't choose its own id, secret or record members", async () => {
    const { json } = await host.register({
      ...PUBLIC_CLIENT,
      token_endpoint_auth_method: "client_secret_post",
      client_id: "client_mine",
      client_secret: "mine",
      hostname: "other.example",
      usage_count: 99,
      registration_client_uri: "https://evil.example/",
    });
    expect(json["client_id"]).not.toBe("client_mine");
    expect(json["client_secret"]).not.toBe("mine");
    expect(json["registration_client_uri"]).toBe(`${host.origin}/register/${json["client_id"]}`);
    const record = JSON.parse((await host.redis.get(clientKey(json["client_id"]))) ?? "");
    expect([record.hostname, record.usage_count]).toEqual([host.hostname, 0]);
  });

  test("a Host of somebody else does not get into it", async () => {
    const answer = await host.request("/register", {
      method: "POST",
      headers: { "content-type": "application/json", host: "evil.example" },
      body: JSON.stringify(PUBLIC_CLIENT),
    });
    expect(answer.json["registration_client_uri"]).toMatch(
      /^https:\/\/simple-oauth\.example\.com\/register\//,
    );
  });
});

describe("limits", () => {
  test("are by redirect host: one that is used up leaves the others alone", async () => {
    const at = (uri: string) => ({ ...PUBLIC_CLIENT, redirect_uris: [uri] });
    for (let count = 0; count < 5; count += 1) {
      expect((await host.register(at("https://one.example/cb"))).status).toBe(201);
    }
    const refused = await host.register(at("https://one.example/other"));
    expect(refused.status).toBe(429);
    expect(Number(refused.headers["retry-after"])).toBeGreaterThan(0);
    expect(refused.json["error"]).toBe("temporarily_unavailable");
    expect((await host.register(at("https://two.example/cb"))).status).toBe(201);
  });

  test("take all loopback hosts and ports together", async () => {
    const uris = [
      "http://localhost:1/",
      "http://127.0.0.1:2/",
      "http://[::1]:3/",
      "http://localhost:4/",
      "http://localhost:5/",
      "http://127.0.0.1:6/",
    ];
    const statuses: number[] = [];
    for (const uri of uris)
      statuses.push((await host.register({ ...PUBLIC_CLIENT, redirect_uris: [uri] })).status);
    expect(statuses).toEqual([201, 201, 201, 201, 201, 429]);
  });

  test("have a sum for the whole hostname", async () => {
    const statuses: number[] = [];
    const summed = await Harness.start({
      options: { registrationLimits: { perRedirectHost: 12, total: 12 } },
    });
    for (let count = 0; count < 13; count += 1) {
      const uri = `https://host-${count}.example/cb`;
      statuses.push((await summed.register({ ...PUBLIC_CLIENT, redirect_uris: [uri] })).status);
    }
    expect(statuses.filter((status) => status === 201)).toHaveLength(12);
    expect(statuses.at(-1)).toBe(429);
    await summed.stop();
  });
});
