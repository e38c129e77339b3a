import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { clientKey } from "@gatehouse/shared/redis-keys";
import { renderRecord } from "@gatehouse/shared/log-record";
import { Browser, Harness, PUBLIC_CLIENT } from "./support/authorization-server-harness.ts";

let host: Harness;
beforeEach(async () => {
  host = await Harness.start();
});
afterEach(async () => {
  await host.stop();
});

/** Everything in Redis, as a dump would show it. */
async function dump(): Promise<string> {
  const lines: string[] = [];
  for (const key of await host.redis.keys("*")) {
    const type = await host.redis.type(key);
    const value = type === "string" ? await host.redis.get(key) : await host.redis.zrange(key, "0", "-1");
    lines.push(key, String(value));
  }
  return lines.join("\n");
}

describe("a dump of Redis and all records", () => {
  test("hold no code, token, secret, cookie or key that could be used", async () => {
    host.login.membershipToken = "gho_membership";
    const client = await host.register({ redirect_uris: ["https://client.example/cb"] });
    const unused = await host.code({ client });
    const flow = await host.tokens({ client });
    const refreshed = await host.post("/token", flow.refresh(flow.answer.json["refresh_token"]));
    const browser = new Browser(host);
    await browser.get(
      `/authorize?${new URLSearchParams({
        response_type: "code",
        client_id: client.json["client_id"],
        redirect_uri: "https://client.example/cb",
        code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        code_challenge_method: "S256",
        state: "state-of-the-client",
      }).toString()}`,
    );
    const secrets = [
      client.json["client_secret"],
      client.json["registration_access_token"],
      unused.form["code"],
      unused.form["code_verifier"],
      flow.form["code"],
      flow.answer.json["access_token"],
      flow.answer.json["refresh_token"],
      refreshed.json["access_token"],
      refreshed.json["refresh_token"],
      "gho_membership",
      "state-of-the-client",
      "PRIVATE KEY",
      host.secret,
      ...browser.cookies.map(({ value }) => value),
    ];
    expect(browser.cookies.length).toBe(2);
    const everything = `${await dump()}\n${host.records.map(renderRecord).join("\n")}`;
    for (const secret of secrets) {
      expect(String(secret).length).toBeGreaterThan(9);
      expect(everything).not.toContain(secret);
    }
  });

  test("no key is without an end but the signing keys", async () => {
    await host.tokens();
    await host.code();
    for (const key of await host.redis.keys("*")) {
      if (!key.startsWith("oauth:key:")) expect([key, await host.redis.ttl(key)]).not.toEqual([key, -1]);
    }
  });
});

describe("each step is on record", () => {
  test("with person, client and peer", async () => {
    const { form } = await host.tokens();
    const events = host.records.filter(({ event }) => event !== "request_ended");
    expect(events.map(({ event }) => event)).toEqual([
      "client_registered",
      "authorization_started",
      "authorization_granted",
      "token_issued",
    ]);
    expect(events.at(-1)).toMatchObject({
      component: "oauth",
      level: "info",
      message: "token issued: authorization_code",
      user: "octocat",
      uid: "github:583231",
      scopes: ["admin", "user", "mcp"],
      client_id: form["client_id"],
      ip: "34.162.102.82",
    });
  });

  test("refusals with the reason the client is not told", async () => {
    const { form } = await host.code();
    await host.post("/token", { ...form, code_verifier: "y".repeat(43) });
    const refused = host.records.find(({ event }) => event === "token_refused");
    expect(refused?.message).toMatch(/^token refused: authorization_code: invalid_grant \(.+\)$/);
  });

  test("requests once each, without the id of a started authorization", async () => {
    await host.tokens();
    const ended = host.records.filter(({ event }) => event === "request_ended");
    expect(ended.map(({ method, path, status }) => `${method} ${path} ${status}`)).toEqual([
      "POST /register 201",
      "GET /authorize 303",
      "GET /authorize/… 303",
      "POST /token 200",
    ]);
  });
});

describe("the store away", () => {
  test("503 with Retry-After for all that needs it; metadata and keys go on; afterwards it works again", async () => {
    const flow = await host.code();
    await host.store.kill("SIGSTOP");
    try {
      const answers = await Promise.all([
        host.post("/token", flow.form),
        host.register(PUBLIC_CLIENT),
        host.request(`/authorize?client_id=${flow.form["client_id"]}&response_type=code`),
      ]);
      for (const answer of answers) {
        expect(answer.status).toBe(503);
        expect(answer.headers["retry-after"]).toBe("5");
        expect(answer.text).toContain("temporarily_unavailable");
      }
      for (const path of ["/jwks", "/.well-known/oauth-authorization-server"]) {
        expect((await host.request(path)).status).toBe(200);
      }
    } finally {
      await host.store.kill("SIGCONT");
    }
    const deadline = Date.now() + 10_000;
    while (host.redis.status !== "ready" && Date.now() < deadline) await delay(5);
    expect((await host.register(PUBLIC_CLIENT)).status).toBe(201);
  });
});

describe("deletion from the command line's side", () => {
  test("a client goes with its grants and tokens", async () => {
    const flow = await host.tokens();
    const id = flow.form["client_id"] ?? "";
    expect(await host.server.deleteClient(id)).toBe(true);
    expect(await host.server.deleteClient(id)).toBe(false);
    expect(await host.redis.exists(clientKey(id))).toBe(0);
    for (const pattern of [
      "oauth:token:*",
      "oauth:refresh:*",
      "oauth:grant*",
      "oauth:identity:*",
      "oauth:client-grants:*",
    ]) {
      expect(await host.redis.keys(pattern)).toEqual([]);
    }
  });
});
