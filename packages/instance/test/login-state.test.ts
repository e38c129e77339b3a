import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { loginKey } from "@gatehouse/shared/redis-keys";
import { LoginHarness, ORIGIN } from "./support/login-harness.ts";
import type { PersonBrowser } from "./support/person-browser.ts";

let harness: LoginHarness;

beforeAll(async () => {
  harness = await LoginHarness.start();
});
afterAll(async () => {
  await harness.stop();
});
afterEach(() => {
  harness.records.length = 0;
});

/** Approves, and stops at GitHub's sign-in page: returns the browser, the page and the `state` that went there. */
async function approved(browser: PersonBrowser = harness.browser()) {
  const page = await browser.submit(await browser.open((await harness.authorization()).url));
  return { browser, page, state: page.url.searchParams.get("state") ?? "" };
}

async function sentLogins(): Promise<string[]> {
  return await harness.host.redis.keys("oauth:login:*");
}

describe("state (MCP Security Best Practices, Confused Deputy)", () => {
  test("does not exist before approval, neither in Redis nor at GitHub nor as a cookie", async () => {
    await harness.host.redis.flushall();
    const before = harness.github.requests.length;
    const browser = harness.browser();
    await browser.open((await harness.authorization()).url);
    expect(await sentLogins()).toEqual([]);
    expect(harness.github.requests).toHaveLength(before);
    expect(browser.cookies(ORIGIN).map(({ name }) => name)).not.toContainEqual(
      expect.stringMatching(/^__Host-gatehouse-login/),
    );
  });

  test("is kept under its hash, sealed, for ten minutes at most", async () => {
    await harness.host.redis.flushall();
    const { state } = await approved();
    expect(await sentLogins()).toEqual([loginKey(state)]);
    const text = (await harness.host.redis.get(loginKey(state))) ?? "";
    expect(Object.keys(JSON.parse(text) as object)).toEqual(["hostname", "sealed"]);
    expect(text).not.toContain(state);
    const seconds = await harness.host.redis.ttl(loginKey(state));
    expect(seconds).toBeGreaterThan(0);
    expect(seconds).toBeLessThanOrEqual(600);
  });

  test("works once: a callback shown again is a page, and nothing is sent to the client", async () => {
    const { browser, page, state } = await approved();
    const end = await browser.submit(page);
    expect(end.url.searchParams.get("code")).toMatch(/./);
    const again = await browser.open(`/callback?code=x&state=${state}`);
    expect(again.status).toBe(400);
    expect(again.text).toContain("This login is over");
  });

  test("works once also when its cookie is still there", async () => {
    const { browser, state } = await approved();
    const ends = await Promise.all(
      Array.from(
        { length: 8 },
        async () => await browser.open(`/callback?error=access_denied&state=${state}`),
      ),
    );
    expect(ends.filter((end) => end.url.origin === "https://client.example")).toHaveLength(1);
    expect(ends.filter((end) => end.status === 400)).toHaveLength(7);
  });

  test("of another browser is refused, recorded, and ends: what stands in that address is of no use to its own", async () => {
    const { browser, page, state } = await approved();
    const stranger = harness.browser();
    await approved(stranger);
    const stolen = await stranger.open(`/callback?code=x&state=${state}`);
    expect(stolen.status).toBe(400);
    expect(harness.recorded("login_refused")).toMatchObject([
      { level: "warn", message: expect.stringContaining("did not start") },
    ]);
    expect(await browser.submit(page)).toMatchObject({ status: 400, url: { pathname: "/callback" } });
  });

  test("that has run out is refused", async () => {
    const { browser, page, state } = await approved();
    await harness.host.redis.del(loginKey(state));
    expect((await browser.submit(page)).status).toBe(400);
  });

  test("of another hostname's record, moved here, is refused", async () => {
    const { browser, page, state } = await approved();
    const text = (await harness.host.redis.get(loginKey(state))) ?? "";
    await harness.host.redis.set(loginKey(state), text.replace("simple-oauth", "other"), "KEEPTTL");
    expect((await browser.submit(page)).status).toBe(400);
  });

  test.each([
    "",
    "?state=",
    "?state=abc",
    `?state=${"a".repeat(43)}`,
    `?state=${"%00".repeat(15)}`,
    "?code=x",
  ])("is needed: /callback%s is a page", async (query) => {
    const { browser } = await approved();
    expect((await browser.open(`/callback${query}`)).status).toBe(400);
  });

  test("of two logins side by side in one browser stay apart", async () => {
    const browser = harness.browser();
    const first = await approved(browser);
    const second = await approved(browser);
    expect((await browser.submit(first.page)).url.searchParams.has("code")).toBe(true);
    expect((await browser.submit(second.page)).url.searchParams.has("code")).toBe(true);
    expect(browser.cookies(ORIGIN).filter(({ name }) => name.startsWith("__Host-"))).toEqual([]);
  });

  test("is not used up by a program that looks ahead with HEAD", async () => {
    const { browser, page, state } = await approved();
    const cookie = browser.cookieHeader(new URL("/callback", ORIGIN));
    const head = await harness.host.request(`/callback?code=x&state=${state}`, {
      method: "HEAD",
      headers: { cookie },
    });
    expect(head.status).toBe(405);
    expect((await browser.submit(page)).url.searchParams.has("code")).toBe(true);
  });

  test("is in no record", async () => {
    const { browser, page, state } = await approved();
    await browser.submit(page);
    expect(JSON.stringify(harness.records)).not.toContain(state);
  });
});
