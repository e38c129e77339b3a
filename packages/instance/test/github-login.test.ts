import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { grantIdentityKey, pinKey } from "@gatehouse/shared/redis-keys";
import { HUBOT, OCTOCAT } from "@gatehouse/testbed/github-accounts";
import { hostname } from "./support/authorization-server-harness.ts";
import { DEMO_LISTS, LoginHarness, NAME } from "./support/login-harness.ts";

let harness: LoginHarness;

beforeAll(async () => {
  harness = await LoginHarness.start();
});
afterAll(async () => {
  await harness.stop();
});
beforeEach(async () => {
  harness.host.configure(DEMO_LISTS);
  await harness.host.redis.del(pinKey(hostname(NAME), "octocat"), pinKey(hostname(NAME), "hubot"));
});
afterEach(() => {
  harness.github.fail();
  harness.github.setAccount(OCTOCAT);
  harness.github.setAccount(HUBOT);
  harness.records.length = 0;
});

describe("who comes back", () => {
  test("octocat gets admin user mcp, known by the numeric id, with the verified address", async () => {
    const { answer, claims } = await harness.tokens("octocat");
    expect(answer.json).toMatchObject({ scope: "admin user mcp" });
    expect(claims).toMatchObject({ sub: "octocat", uid: "github:583231", email: "octocat@github.com" });
    expect(harness.recorded("login_succeeded")).toMatchObject([
      { user: "octocat", uid: "github:583231", ip: "34.162.102.82", scopes: ["admin", "user", "mcp"] },
    ]);
  });

  test("hubot, whose address is not known, gets user mcp and no address", async () => {
    const { answer, claims } = await harness.tokens("hubot");
    expect(answer.json).toMatchObject({ scope: "user mcp" });
    expect(claims).toMatchObject({ sub: "hubot", uid: "github:480938" });
    expect(claims).not.toHaveProperty("email");
  });

  test("who is not on the list is sent back with access_denied, issuer and state", async () => {
    harness.host.configure({ auth_required_users: ["hubot"] });
    const end = await harness.logIn("octocat");
    expect(end.url.origin).toBe("https://client.example");
    expect(Object.fromEntries(end.url.searchParams)).toMatchObject({
      error: "access_denied",
      state: "st-1",
      iss: `https://${NAME}`,
    });
    expect(harness.recorded("login_refused")).toMatchObject([{ user: "octocat", uid: "github:583231" }]);
  });

  test("an empty list refuses everyone", async () => {
    harness.host.configure({ auth_required_users: [] });
    const end = await harness.logIn("octocat");
    expect(end.url.searchParams.get("error")).toBe("access_denied");
  });

  test("with scopes as requested, a scope that the account may not have leaves nothing", async () => {
    harness.host.configure({ ...DEMO_LISTS, scope_assignment: "requested" });
    const authorization = await harness.authorization({}, { scope: "admin" });
    expect((await harness.logIn("hubot", authorization)).url.searchParams.get("error")).toBe("access_denied");
    const { answer } = await harness.tokens("octocat", { scope: "admin" });
    expect(answer.json).toMatchObject({ scope: "admin" });
  });
});

describe("GitHub", () => {
  test("is asked with PKCE, this host's callback and the narrowest scope", async () => {
    await harness.logIn("octocat");
    const asked = harness.github.requests.filter((one) => one.startsWith("/login/oauth/authorize")).at(-1);
    const query = new URL(asked ?? "", "http://github").searchParams;
    expect(query.get("scope")).toBe("user:email");
    expect(query.get("redirect_uri")).toBe(`https://${NAME}/callback`);
    expect(query.get("code_challenge_method")).toBe("S256");
    expect(query.get("code_challenge")).toMatch(/^[\w-]{43}$/);
    expect(query.get("state")).toMatch(/^[\w-]{43}$/);
  });

  test.each(["down", "broken", "rate_limited"] as const)(
    "%s: the client hears temporarily_unavailable, and why is recorded",
    async (failure) => {
      const browser = harness.browser();
      const consent = await browser.open((await harness.authorization()).url);
      const state = await stateOnTheWay(browser, consent);
      const asked = harness.github.requests.filter((one) => one.startsWith("/login/oauth/authorize")).at(-1);
      const code = await codeFor(harness, asked ?? "", "octocat");
      // The pages worked, then it happened: the browser holds a good code.
      harness.github.fail(failure);
      const end = await browser.open(`/callback?code=${code}&state=${state}`);
      expect(end.url.searchParams.get("error")).toBe("temporarily_unavailable");
      expect(harness.recorded("provider_failed")).toHaveLength(1);
    },
  );

  test.each([
    ["access_denied", "access_denied", "login_refused"],
    ["application_suspended", "server_error", "provider_failed"],
    ["redirect_uri_mismatch", "server_error", "provider_failed"],
    ["temporarily_unavailable", "temporarily_unavailable", "provider_failed"],
    ["something%0Anew", "access_denied", "login_refused"],
  ] as const)("sending %s makes it %s for the client", async (...[error, heard, event]) => {
    const browser = harness.browser();
    const consent = await browser.open((await harness.authorization()).url);
    const state = await stateOnTheWay(browser, consent);
    const end = await browser.open(`/callback?error=${error}&error_description=x&state=${state}`);
    expect(end.url.searchParams.get("error")).toBe(heard);
    expect(harness.recorded(event).at(-1)?.message).not.toContain("new");
  });

  test("with a code of somebody else's login refuses it, for it was made for another verifier", async () => {
    const [victim, attacker] = [harness.browser(), harness.browser()];
    await attacker.open(harness.github.signInUrl("hubot"));
    const own = await attacker.open((await harness.authorization()).url);
    const state = await stateOnTheWay(attacker, own);
    await stateOnTheWay(victim, await victim.open((await harness.authorization()).url));
    const asked = harness.github.requests.filter((one) => one.startsWith("/login/oauth/authorize")).at(-1);
    const code = await codeFor(harness, asked ?? "", "octocat");
    const end = await attacker.open(`/callback?code=${code}&state=${state}`);
    expect(end.url.searchParams.get("error")).toBe("access_denied");
    expect(harness.recorded("login_refused").at(-1)?.message).toContain("bad_verification_code");
  });

  test("that does not know our secret is an operator's problem, and the record says which", async () => {
    harness.host.configure({ ...DEMO_LISTS, github_client_id: "Iv1.test", github_client_secret: "wrong" });
    const end = await harness.logIn("octocat");
    expect(end.url.searchParams.get("error")).toBe("server_error");
    expect(harness.recorded("provider_failed").at(-1)?.message).toContain("incorrect_client_credentials");
  });

  test("of the host's own application is used instead of the process's", async () => {
    harness.host.configure({ ...DEMO_LISTS, github_client_id: "Iv1.own", github_client_secret: "s" });
    const browser = harness.browser();
    const end = await browser.submit(await browser.open((await harness.authorization()).url));
    expect(end.status).toBe(404);
    expect(end.url.searchParams.get("client_id")).toBe("Iv1.own");
  });
});

describe("organisations and teams", () => {
  test("are asked for, with read:org, only where a list names one", async () => {
    harness.host.configure({
      auth_required_users: ["team:github/mascots"],
      oauth_admin_users: ["org:github"],
    });
    const { answer } = await harness.tokens("octocat");
    expect(answer.json).toMatchObject({ scope: "admin user mcp" });
    const asked = harness.github.requests.filter((one) => one.startsWith("/login/oauth/authorize")).at(-1);
    expect(new URL(asked ?? "", "http://github").searchParams.get("scope")).toBe("user:email read:org");
    expect((await harness.logIn("hubot")).url.searchParams.get("error")).toBe("access_denied");
  });

  test("are read to their end when they fill several pages", async () => {
    const organisations = Array.from({ length: 230 }, (_, index) => `org-${index}`);
    harness.github.setAccount({ ...OCTOCAT, organisations });
    harness.host.configure({ auth_required_users: ["org:org-229"] });
    const { answer } = await harness.tokens("octocat");
    expect(answer.status).toBe(200);
  });

  test("are kept as far as a list names them, with a sealed token, and not at all elsewhere", async () => {
    await harness.host.redis.flushall();
    await harness.tokens("octocat");
    const [without] = await identities(harness);
    expect(without).toMatchObject({ organisations: [], teams: [] });
    expect(without).not.toHaveProperty("membership_token");
    await harness.host.redis.flushall();
    harness.github.setAccount({ ...OCTOCAT, organisations: ["secret-society", "github"] });
    harness.host.configure({ auth_required_users: ["org:GitHub"] });
    await harness.tokens("octocat");
    const [kept] = await identities(harness);
    expect(kept).toMatchObject({
      organisations: ["github"],
      teams: [],
      membership_token: expect.stringMatching(/^v1\./),
    });
    expect(JSON.stringify(kept)).not.toContain("gho_");
  });
});

describe("a login that a list names is pinned to the first uid", () => {
  test("another uid under the same login is refused and recorded", async () => {
    await harness.tokens("octocat");
    expect(harness.recorded("login_pinned")).toMatchObject([{ user: "octocat", uid: "github:583231" }]);
    harness.github.setAccount({ ...OCTOCAT, login: "octocat-renamed" });
    harness.github.setAccount({ ...HUBOT, login: "OctoCat" });
    const end = await harness.logIn("OctoCat");
    expect(end.url.searchParams.get("error")).toBe("access_denied");
    expect(harness.recorded("login_refused")).toMatchObject([
      { user: "OctoCat", uid: "github:480938", message: expect.stringContaining("pinned") },
    ]);
  });

  test("the same uid goes on, in whatever letters", async () => {
    await harness.tokens("octocat");
    harness.github.setAccount({ ...OCTOCAT, login: "OctoCat" });
    const { claims } = await harness.tokens("OctoCat");
    expect(claims).toMatchObject({ sub: "OctoCat", uid: "github:583231" });
    expect(harness.recorded("login_pinned")).toHaveLength(1);
  });

  test("who gets nothing takes no name", async () => {
    harness.host.configure({ auth_required_users: ["hubot"], oauth_admin_users: ["octocat"] });
    await harness.logIn("octocat");
    expect(await harness.host.redis.exists(pinKey(hostname(NAME), "octocat"))).toBe(0);
  });

  test("two first logins at once make one pin", async () => {
    harness.github.setAccount({ ...HUBOT, login: "OctoCat" });
    const ends = await Promise.all([harness.logIn("octocat"), harness.logIn("OctoCat")]);
    const outcomes = ends.map((end) => (end.url.searchParams.has("code") ? "in" : "refused"));
    expect(outcomes.sort()).toEqual(["in", "refused"]);
  });
});

describe("a refresh", () => {
  test("gives what the lists give now, and only narrows", async () => {
    const { answer, refresh } = await harness.tokens("octocat");
    harness.host.configure({ ...DEMO_LISTS, oauth_admin_users: [] });
    const narrowed = await refresh(answer.json["refresh_token"]);
    expect(narrowed.json).toMatchObject({ scope: "user mcp" });
    harness.host.configure({ auth_required_users: ["hubot"] });
    const refused = await refresh(narrowed.json["refresh_token"]);
    expect(refused.json).toMatchObject({ error: "invalid_grant" });
    expect(harness.recorded("login_refused").at(-1)).toMatchObject({ uid: "github:583231" });
  });

  test("asks GitHub again where membership counts: who left is refused", async () => {
    harness.host.configure({ auth_required_users: ["org:github"] });
    const { answer, refresh } = await harness.tokens("octocat");
    const again = await refresh(answer.json["refresh_token"]);
    expect(again.status).toBe(200);
    harness.github.setAccount({ ...OCTOCAT, organisations: [] });
    const refused = await refresh(again.json["refresh_token"]);
    expect(refused.json).toMatchObject({ error: "invalid_grant" });
  });

  test("is refused when GitHub no longer knows the token, even for who is on a list by login", async () => {
    harness.host.configure({ auth_required_users: ["org:github", "octocat"] });
    const { refresh } = await harness.tokens("octocat");
    harness.github.revokeTokens("octocat");
    expect((await refresh()).json).toMatchObject({ error: "invalid_grant" });
    expect(harness.recorded("login_refused").at(-1)?.message).toContain("401");
  });

  test("with GitHub away holds the last answer for a day, recorded, and not longer", async () => {
    harness.host.configure({ auth_required_users: ["org:github"] });
    const { answer, refresh } = await harness.tokens("octocat");
    harness.github.fail("down");
    const held = await refresh(answer.json["refresh_token"]);
    expect(held.status).toBe(200);
    expect(harness.recorded("provider_failed").at(-1)?.message).toContain("hold");
    await makeOlder(harness, 24 * 3600 + 60);
    const refused = await refresh(held.json["refresh_token"]);
    expect(refused.json).toMatchObject({ error: "invalid_grant" });
  });

  test("of a login from before organisations counted gets nothing by them", async () => {
    const { refresh } = await harness.tokens("octocat");
    harness.host.configure({ auth_required_users: ["org:github"] });
    expect((await refresh()).json).toMatchObject({ error: "invalid_grant" });
  });

  test("fails when the login was pinned to somebody else meanwhile", async () => {
    const { refresh } = await harness.tokens("octocat");
    const pin = { hostname: NAME, login: "octocat", uid: "github:1", pinned_at: 1 };
    await harness.host.redis.set(pinKey(hostname(NAME), "octocat"), JSON.stringify(pin));
    expect((await refresh()).json).toMatchObject({ error: "invalid_grant" });
  });
});

/** Submits the consent form and returns the `state` that went to GitHub. */
async function stateOnTheWay(
  browser: ReturnType<LoginHarness["browser"]>,
  consent: Awaited<ReturnType<ReturnType<LoginHarness["browser"]>["open"]>>,
): Promise<string> {
  const before = harness.github.requests.length;
  harness.github.fail("broken");
  await browser.submit(consent);
  harness.github.fail();
  const asked = harness.github.requests.slice(before).find((one) => one.startsWith("/login/oauth/authorize"));
  return new URL(asked ?? "", "http://github").searchParams.get("state") ?? "";
}

/** Completes GitHub's side of an authorization by hand, as that account; returns the code. */
async function codeFor({ github }: LoginHarness, request: string, login: string): Promise<string> {
  const session = await fetch(github.signInUrl(login));
  const cookie = session.headers.getSetCookie()[0]?.split(";")[0] ?? "";
  const answer = await fetch(github.url + request, { headers: { cookie }, redirect: "manual" });
  return new URL(answer.headers.get("location") ?? "").searchParams.get("code") ?? "";
}

/** What is kept about the people behind grants. */
async function identities({ host: { redis } }: LoginHarness): Promise<Record<string, unknown>[]> {
  const keys = await redis.keys(grantIdentityKey("*"));
  return await Promise.all(
    keys.map(async (key) => JSON.parse((await redis.get(key)) ?? "{}") as Record<string, unknown>),
  );
}

/** Moves the last look at the memberships of every grant into the past. */
async function makeOlder({ host: { redis } }: LoginHarness, seconds: number): Promise<void> {
  for (const key of await redis.keys(grantIdentityKey("*"))) {
    const record = JSON.parse((await redis.get(key)) ?? "{}") as { checked_at: number };
    await redis.set(key, JSON.stringify({ ...record, checked_at: record.checked_at - seconds }), "KEEPTTL");
  }
}
