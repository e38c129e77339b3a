import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { clientKey, interactionKey } from "@gatehouse/shared/redis-keys";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { Browser, Harness, PUBLIC_CLIENT } from "./support/authorization-server-harness.ts";

let store: PrivateRedis;
let mine: Harness;
let other: Harness;
beforeAll(async () => {
  store = await startPrivateRedis();
  mine = await Harness.start({ redis: store, name: "mine.example.com" });
  other = await Harness.start({ redis: store, name: "other.example.com", secret: mine.secret });
});
afterAll(async () => {
  await mine.stop();
  await other.stop();
  await store.stop();
});

describe("one store, two hosts: nothing of one is worth anything on the other", () => {
  test("client", async () => {
    const client = await mine.register(PUBLIC_CLIENT);
    const { end } = await other.code({ client });
    expect(end.location).toBeUndefined();
    expect(end.answer.status).toBe(400);
    const headers = { authorization: `Bearer ${client.json["registration_access_token"]}` };
    const { status } = await other.request(`/register/${client.json["client_id"]}`, { headers });
    expect(status).toBe(401);
  });

  test("code, refresh token and access token, even of a client whose record was copied", async () => {
    const flow = await mine.tokens();
    const { form } = await mine.code({ client: flow.client });
    const { client_id: id = "" } = form;
    const key = clientKey(id);
    const original = (await mine.redis.get(key)) ?? "";
    await mine.redis.set(key, JSON.stringify({ ...JSON.parse(original), hostname: "other.example.com" }));
    expect((await other.post("/token", form)).json["error"]).toBe("invalid_grant");
    const refresh = flow.refresh(flow.answer.json["refresh_token"]);
    expect((await other.post("/token", refresh)).json["error"]).toBe("invalid_grant");
    const token = flow.answer.json["access_token"];
    expect((await other.post("/introspect", { client_id: id, token })).json).toEqual({ active: false });
    expect((await other.post("/revoke", { client_id: id, token })).status).toBe(200);
    await mine.redis.set(key, original);
    expect((await mine.post("/introspect", { client_id: id, token })).json["active"]).toBe(true);
    expect((await mine.post("/token", form)).status).toBe(200);
  });

  test("keys: each host has its own", async () => {
    const keys = await Promise.all(
      [mine, other].map(async (host) => (await host.request("/jwks")).json["keys"][0].n),
    );
    expect(keys[0]).not.toBe(keys[1]);
  });
});

describe("a started authorization belongs to the browser that started it", () => {
  async function start(): Promise<{ browser: Browser; path: string }> {
    const client = await mine.register(PUBLIC_CLIENT);
    const browser = new Browser(mine);
    const query = new URLSearchParams({
      response_type: "code",
      client_id: client.json["client_id"],
      redirect_uri: "https://client.example/callback",
      code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      code_challenge_method: "S256",
    });
    const answer = await browser.get(`/authorize?${query.toString()}`);
    return { browser, path: answer.headers.location ?? "" };
  }

  test("its consent page can't be opened by another", async () => {
    const { path } = await start();
    expect((await new Browser(mine).get(path)).status).toBe(403);
    // Nor by one with the cookie of its own authorization.
    const { browser } = await start();
    expect((await browser.get(path)).status).toBe(403);
  });

  test("its result can't be fetched by another, and only once", async () => {
    const { browser, path } = await start();
    const finished = await browser.get(path);
    const resume = new URL(finished.headers.location ?? "").pathname;
    const stranger = await new Browser(mine).get(resume);
    expect([stranger.status, stranger.headers.location]).toEqual([400, undefined]);
    expect((await browser.get(resume)).headers.location).toMatch(
      /^https:\/\/client\.example\/callback\?code=/,
    );
    expect((await browser.get(resume)).headers.location).toBeUndefined();
  });

  test("a login that comes back twice is turned away", async () => {
    const { browser, path } = await start();
    await browser.get(path);
    expect((await browser.get(path)).status).toBe(403);
  });

  test("cookies are Secure, HttpOnly, Lax, for one path each, and no session is kept", async () => {
    const { browser, path } = await start();
    expect(browser.cookies.map(({ name }) => name).toSorted()).toEqual([
      "__Secure-gatehouse-interaction",
      "__Secure-gatehouse-resume",
    ]);
    for (const cookie of browser.cookies) expect(cookie.path).toMatch(/^\/(interaction|authorize)\/[\w-]+$/);
    const finished = await browser.get(path);
    const back = await browser.get(new URL(finished.headers.location ?? "").pathname);
    for (const line of back.headers["set-cookie"] ?? []) expect(line).not.toMatch(/session/);
    expect((await mine.redis.keys("*ession*")).length).toBe(0);
  });

  test("ends after ten minutes", async () => {
    const { path } = await start();
    const left = await mine.redis.ttl(interactionKey(path.split("/").at(-1) ?? ""));
    expect(left).toBeGreaterThan(590);
    expect(left).toBeLessThanOrEqual(600);
  });
});
