import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { DEMO_LISTS, LoginHarness, ORIGIN } from "./support/login-harness.ts";

let harness: LoginHarness;

beforeAll(async () => {
  harness = await LoginHarness.start();
});
afterAll(async () => {
  await harness.stop();
});
beforeEach(() => {
  harness.host.configure(DEMO_LISTS);
});
afterEach(() => {
  harness.records.length = 0;
});

const CLAUDE = {
  client_name: "Claude",
  redirect_uris: ["https://claude.ai/api/mcp/auth_callback"],
  scope: "openid profile email",
};

async function consentOf(metadata: Record<string, unknown> = {}, parameters: Record<string, string> = {}) {
  const browser = harness.browser();
  return { browser, page: await browser.open((await harness.authorization(metadata, parameters)).url) };
}

describe("the consent page", () => {
  test("names the client, where it leads, every scope in words, and that the account decides", async () => {
    const { page } = await consentOf(CLAUDE, { scope: "openid profile email" });
    expect(page.status).toBe(200);
    expect(page.text).toContain("<bdi>Claude</bdi>");
    expect(page.text).toMatch(/sent back to<\/dt><dd>claude\.ai</);
    for (const scope of ["admin", "user", "mcp"]) expect(page.text).toContain(`<code>${scope}</code>`);
    expect(page.text).toContain("Your account decides");
    expect(page.text).not.toContain("runs on a computer");
  });

  test("with scopes as requested names only what can come of it", async () => {
    harness.host.configure({ ...DEMO_LISTS, scope_assignment: "requested" });
    const { page } = await consentOf({}, { scope: "mcp" });
    expect(page.text).toContain("<code>mcp</code>");
    expect(page.text).not.toContain("<code>admin</code>");
  });

  test("warns of a client that only a program on this computer can be", async () => {
    const { page } = await consentOf({ redirect_uris: ["http://localhost:7777/cb", "http://127.0.0.1/cb"] });
    expect(page.text).toContain("runs on a computer");
    expect(page.text).toContain("localhost:7777");
  });

  test("shows what a client calls itself as text, and short", async () => {
    const name = `<script>alert(1)</script>"'&\u202egnp.exe ${"x".repeat(500)}`;
    const { page } = await consentOf({ client_name: name });
    expect(page.text).not.toContain("<script");
    expect(page.text).toContain("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;");
    expect(page.text).not.toContain("\u202e");
    expect(page.text).not.toContain("x".repeat(100));
  });

  test("can't be framed, runs nothing, loads nothing, and lets its form go on to provider and client", async () => {
    const { page } = await consentOf();
    expect(page.headers).toMatchObject({
      "cache-control": "no-store",
      "referrer-policy": "same-origin",
      "x-content-type-options": "nosniff",
      "x-frame-options": "DENY",
      "content-type": "text/html; charset=utf-8",
    });
    const policy = String(page.headers["content-security-policy"]).split("; ");
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).toContain("base-uri 'none'");
    expect(policy.join()).not.toMatch(/unsafe|form-action|script-src/);
    expect(page.text).not.toMatch(/<script|style=|https?:\/\/(?!www\.w3\.org)|\son\w+=/);
  });

  test("has a cookie from the start on that only this host can set, and that comes back from the provider", async () => {
    const answer = await harness.host.request((await harness.authorization()).url);
    const lines = (answer.headers["set-cookie"] ?? []).filter((line) => line.startsWith("__Host-"));
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^__Host-gatehouse-start-[\w-]{10}=[\w-]{43}; /);
    for (const attribute of ["Path=/", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"])
      expect(lines[0]?.split("; ")).toContain(attribute);
  });

  test("shows nothing to a browser that a neighbour gave the engine's cookie of another login", async () => {
    const { browser, page } = await consentOf();
    const planted = browser.cookieHeader(page.url).replace(/__Host-[^;]*(?:; )?/, "");
    expect(planted).toContain("__Secure-");
    const victim = browser.cookieHeader(new URL("/", ORIGIN)).replace(/=.*/, `=${"x".repeat(43)}`);
    for (const cookie of [planted, `${planted}; ${victim}`]) {
      const answer = await harness.host.request(page.url.pathname, { headers: { cookie } });
      expect(answer.status).toBe(400);
      expect(answer.text).not.toContain("<form");
    }
  });

  test("is for the browser that started: its link alone shows nothing", async () => {
    const { page } = await consentOf();
    const stranger = await harness.browser().open(page.url);
    expect(stranger.status).toBe(400);
    expect(stranger.text).not.toContain("<form");
  });

  test("on a host whose config has no application and no fallback says so, to the person and in the record", async () => {
    const bare = await LoginHarness.start({
      login: { github: { url: "http://127.0.0.1:9", apiUrl: "http://127.0.0.1:9", app: undefined } },
    });
    const page = await bare.browser().open((await bare.authorization()).url);
    const records = bare.recorded("provider_failed");
    await bare.stop();
    expect(page.status).toBe(503);
    expect(page.text).toContain("not set up");
    expect(page.forms).toEqual([]);
    expect(records).toMatchObject([
      { level: "error", message: expect.stringContaining("application at github") },
    ]);
  });
});

describe("the answer to the consent page", () => {
  test("goes to GitHub with 303 when it is yes", async () => {
    const { browser, page } = await consentOf();
    const end = await browser.submit(page);
    expect(end.url.pathname).toBe("/login/oauth/authorize");
    expect(harness.recorded("consent_given")).toMatchObject([
      { client_id: expect.stringMatching(/^client_/) },
    ]);
  });

  test("goes back to the client as access_denied when it is no, and GitHub never hears of it", async () => {
    const before = harness.github.requests.length;
    const { browser, page } = await consentOf();
    const end = await browser.submit(page, 1);
    expect(end.url.origin + end.url.pathname).toBe("https://client.example/callback");
    expect(Object.fromEntries(end.url.searchParams)).toMatchObject({
      error: "access_denied",
      state: "st-1",
      iss: ORIGIN,
    });
    expect(harness.github.requests).toHaveLength(before);
  });

  test("can be that GitHub shall ask for the account", async () => {
    const { browser, page } = await consentOf();
    await browser.open(harness.github.signInUrl("octocat"));
    const chooser = await browser.submit(page, 2);
    expect(chooser.text).toContain("Sign in as hubot");
    const end = await browser.submit(chooser, 1);
    expect(end.url.searchParams.has("code")).toBe(true);
    expect(harness.recorded("login_succeeded")).toMatchObject([{ user: "hubot" }]);
  });

  test("must carry the token of this very page", async () => {
    await harness.host.redis.flushall();
    const { browser, page } = await consentOf();
    const other = await browser.open((await harness.authorization()).url);
    for (const csrf_token of [undefined, "", "x", other.forms[0]?.fields["csrf_token"]]) {
      const end = await browser.submit(page, 0, { csrf_token });
      expect(end.status).toBe(403);
    }
    expect(harness.recorded("consent_refused")).toHaveLength(4);
    expect(await harness.host.redis.keys("oauth:login:*")).toEqual([]);
    expect((await browser.submit(page)).url.pathname).toBe("/login/oauth/authorize");
  });

  test("must come from this origin when the browser says where from", async () => {
    const { browser, page } = await consentOf();
    const [form] = page.forms;
    const cookie = browser.cookieHeader(page.url);
    const post = async (headers: Record<string, string>) =>
      (await harness.host.post(form?.action ?? "", form?.fields ?? {}, { cookie, ...headers })).status;
    expect(await post({ origin: "https://evil.example" })).toBe(403);
    expect(await post({ origin: "null" })).toBe(403);
    expect(await post({ origin: ORIGIN })).toBe(303);
    expect(await post({})).toBe(303);
  });

  test("is worth nothing without the cookie of the page", async () => {
    const { browser, page } = await consentOf();
    const [form] = page.forms;
    const cookie = browser.cookieHeader(page.url).replace(/__Host-[^;]*(?:; )?/, "");
    const answer = await harness.host.post(form?.action ?? "", form?.fields ?? {}, { cookie });
    expect(answer.status).toBe(400);
  });

  test("is good from each of two pages open side by side", async () => {
    const browser = harness.browser();
    const pages = [
      await browser.open((await harness.authorization()).url),
      await browser.open((await harness.authorization()).url),
    ];
    for (const page of pages)
      expect((await browser.submit(page)).url.pathname).toBe("/login/oauth/authorize");
  });

  test("that is too long is refused with 413, announced or not", async () => {
    const { browser, page } = await consentOf();
    expect((await browser.submit(page, 0, { more: "x".repeat(20_000) })).status).toBe(413);
    const answer = await harness.host.request(page.url.pathname, {
      method: "POST",
      headers: {
        "content-type": "application/x-www-form-urlencoded",
        "transfer-encoding": "chunked",
        cookie: browser.cookieHeader(page.url),
      },
      body: `csrf_token=${"x".repeat(20_000)}`,
    });
    expect(answer.status).toBe(413);
  });

  test("to a login that is over is a page", async () => {
    const { browser, page } = await consentOf();
    await browser.submit(page, 1);
    expect((await browser.submit(page)).text).toContain("This login is over");
  });
});

describe("the paths", () => {
  test("know their methods", async () => {
    expect(await harness.host.request("/callback", { method: "POST" })).toMatchObject({
      status: 405,
      headers: { allow: "GET" },
    });
    expect(await harness.host.request("/interaction/x", { method: "DELETE" })).toMatchObject({
      status: 405,
      headers: { allow: "GET, POST" },
    });
  });

  test("are the upstream's on an open host", async () => {
    harness.host.configure({ auth_enabled: false });
    for (const path of ["/callback", "/interaction/x"])
      expect(await harness.host.request(path)).toMatchObject({ status: 418, text: "upstream" });
  });

  test("appear in the record once for each request, without the id in them", async () => {
    const { page } = await consentOf();
    const uid = page.url.pathname.split("/").at(-1) ?? "";
    const records = harness.recorded("request_ended").filter(({ path }) => path?.startsWith("/interaction"));
    expect(records).toMatchObject([{ path: "/interaction/…", method: "GET", status: 200 }]);
    expect(JSON.stringify(harness.records)).not.toContain(uid);
  });

  test("answer 503 with Retry-After while Redis is away, and go on when it is back", async () => {
    const { browser, page } = await consentOf();
    const { store, redis } = harness.host;
    await store.kill("SIGSTOP");
    const away = await browser.submit(page);
    await store.kill("SIGCONT");
    expect(away.status).toBe(503);
    expect(away.headers["retry-after"]).toBe("5");
    expect(away.text).toContain("not possible right now");
    const deadline = Date.now() + 10_000;
    let again = away;
    while (again.status === 503 && Date.now() < deadline) again = await browser.submit(page);
    expect(again.url.pathname).toBe("/login/oauth/authorize");
    expect(redis.status).toBe("ready");
  });
});
