import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { HUBOT, OCTOCAT } from "../github-accounts.ts";
import { startGitHub, type StandInGitHub } from "../github.ts";

const APP = {
  clientId: "Iv1.test",
  clientSecret: "secret",
  callbackUrls: ["https://host.example/callback", "https://other.example:8443/cb"],
} as const;

let github: StandInGitHub;

beforeAll(async () => {
  github = await startGitHub({ apps: [APP] });
});
afterAll(async () => {
  await github.close();
});
afterEach(() => {
  github.fail();
  github.setAccount(OCTOCAT);
});

const VERIFIER = "v".repeat(43);
const CHALLENGE = createHash("sha256").update(VERIFIER).digest("base64url");

/** Signs in by the link and returns the cookie. */
async function signIn(login: string): Promise<string> {
  const answer = await fetch(github.signInUrl(login));
  expect(answer.status).toBe(200);
  return answer.headers.getSetCookie()[0]?.split(";")[0] ?? "";
}

async function authorize(parameters: Record<string, string>, cookie?: string): Promise<Response> {
  const query = new URLSearchParams({ client_id: APP.clientId, state: "st", ...parameters }).toString();
  return await fetch(`${github.url}/login/oauth/authorize?${query}`, {
    redirect: "manual",
    headers: cookie === undefined ? {} : { cookie },
  });
}

async function code(parameters: Record<string, string> = {}, login = "octocat"): Promise<string> {
  const answer = await authorize(parameters, await signIn(login));
  return new URL(answer.headers.get("location") ?? "").searchParams.get("code") ?? "";
}

async function redeem(form: Record<string, string>, accept = "application/json"): Promise<Response> {
  return await fetch(`${github.url}/login/oauth/access_token`, {
    method: "POST",
    headers: { accept },
    body: new URLSearchParams({ client_id: APP.clientId, client_secret: APP.clientSecret, ...form }),
  });
}

async function token(scope: string, login = "octocat"): Promise<string> {
  const answer = await redeem({ code: await code({ scope }, login) });
  return ((await answer.json()) as { access_token: string }).access_token;
}

async function api(
  path: string,
  authorization?: string,
): Promise<{ status: number; body: unknown; headers: Headers }> {
  const answer = await fetch(github.url + path, {
    headers: { "user-agent": "test", ...(authorization === undefined ? {} : { authorization }) },
  });
  return { status: answer.status, body: await answer.json(), headers: answer.headers };
}

describe("pages", () => {
  test("without a session show a form per account, octocat first, hubot second", async () => {
    const answer = await authorize({});
    const text = await answer.text();
    expect([...text.matchAll(/name="login" value="(\w+)"/g)].map(([, login]) => login)).toEqual([
      "octocat",
      "hubot",
    ]);
    expect(text.match(/<form method="post" action="\/session">/g)).toHaveLength(2);
  });

  test("with a session send back at once, unless asked to choose", async () => {
    const cookie = await signIn("hubot");
    const back = new URL((await authorize({}, cookie)).headers.get("location") ?? "");
    expect(back.origin + back.pathname).toBe("https://host.example/callback");
    expect(back.searchParams.get("state")).toBe("st");
    expect((await authorize({ prompt: "select_account" }, cookie)).status).toBe(200);
  });

  test("lead on from the form to where it was asked, and nowhere else", async () => {
    const post = async (return_to: string): Promise<Response> =>
      await fetch(`${github.url}/session`, {
        method: "POST",
        redirect: "manual",
        body: new URLSearchParams({ login: "octocat", return_to }),
      });
    const next = "/login/oauth/authorize?client_id=Iv1.test";
    expect((await post(next)).headers.get("location")).toBe(github.url + next);
    expect((await post("//evil.example/")).status).toBe(200);
    expect((await fetch(github.signInUrl("nobody"))).status).toBe(404);
  });

  test.each([
    ["https://host.example/callback", true],
    ["https://host.example/callback/deeper", true],
    ["https://host.example/callbacks", false],
    ["https://other.example:8443/cb", true],
    ["https://other.example/cb", false],
    ["https://evil.example/callback", false],
  ])("take %s as a redirect URI: %s", async (redirect_uri, isTaken) => {
    const back = new URL(
      (await authorize({ redirect_uri }, await signIn("octocat"))).headers.get("location") ?? "",
    );
    expect(back.searchParams.has("code")).toBe(isTaken);
    expect(back.searchParams.get("error")).toBe(isTaken ? null : "redirect_uri_mismatch");
    if (!isTaken) expect(back.host).toBe("host.example");
  });

  test("know no other application", async () => {
    expect((await authorize({ client_id: "Iv1.other" })).status).toBe(404);
  });
});

describe("the token endpoint", () => {
  test("gives a token once, with the scopes in order", async () => {
    const issued = await code({ scope: "user:email read:org" });
    const first = await redeem({ code: issued });
    expect(await first.json()).toMatchObject({
      access_token: expect.stringMatching(/^gho_\w{36}$/),
      token_type: "bearer",
      scope: "read:org,user:email",
    });
    const again = await redeem({ code: issued });
    expect(again.status).toBe(200);
    expect(await again.json()).toMatchObject({ error: "bad_verification_code" });
  });

  test("answers as a form to who does not ask for JSON", async () => {
    const answer = await redeem({ code: await code() }, "*/*");
    expect(answer.headers.get("content-type")).toContain("application/x-www-form-urlencoded");
    expect(new URLSearchParams(await answer.text()).get("access_token")).toMatch(/^gho_/);
  });

  test("says its errors with status 200", async () => {
    const redirect_uri = "https://host.example/callback";
    const cases: readonly (readonly [Record<string, string>, string])[] = [
      [{ code: await code(), client_secret: "wrong" }, "incorrect_client_credentials"],
      [
        { code: await code({ redirect_uri }), redirect_uri: `${redirect_uri}/other` },
        "redirect_uri_mismatch",
      ],
      [{ code: "nothing" }, "bad_verification_code"],
    ];
    for (const [form, error] of cases) {
      const answer = await redeem(form);
      expect(answer.status).toBe(200);
      expect(await answer.json()).toMatchObject({
        error,
        error_uri: expect.stringContaining("docs.github.com"),
      });
    }
    expect((await redeem({ client_id: "Iv1.other", code: "x" })).status).toBe(404);
  });

  test("wants the verifier of the challenge", async () => {
    const pkce = { code_challenge: CHALLENGE, code_challenge_method: "S256" };
    expect(await (await redeem({ code: await code(pkce) })).json()).toMatchObject({
      error: "bad_verification_code",
    });
    const wrong = await redeem({ code: await code(pkce), code_verifier: "w".repeat(43) });
    expect(await wrong.json()).toMatchObject({ error: "bad_verification_code" });
    const right = await redeem({ code: await code(pkce), code_verifier: VERIFIER });
    expect(await right.json()).toHaveProperty("access_token");
  });
});

describe("the API", () => {
  test("shows who it is, with the ids they have at GitHub and no address for hubot", async () => {
    expect((await api("/user", `Bearer ${await token("")}`)).body).toMatchObject({
      login: "octocat",
      id: 583_231,
    });
    expect((await api("/user", `token ${await token("", "hubot")}`)).body).toMatchObject({
      login: "hubot",
      id: 480_938,
      email: null,
    });
  });

  test("shows addresses, organisations and teams only to tokens with the scope", async () => {
    const bare = `Bearer ${await token("")}`;
    expect((await api("/user/emails", bare)).status).toBe(404);
    expect((await api("/user/orgs", bare)).status).toBe(403);
    expect((await api("/user/teams", bare)).status).toBe(404);
    const wide = `Bearer ${await token("user:email read:org")}`;
    expect((await api("/user/emails", wide)).body).toContainEqual({
      email: "octocat@github.com",
      primary: true,
      verified: true,
      visibility: "public",
    });
    expect((await api("/user/orgs", wide)).body).toMatchObject([{ login: "github" }]);
    expect((await api("/user/teams", wide)).body).toMatchObject([
      { slug: "mascots", organization: { login: "github" } },
    ]);
    expect((await api("/user", wide)).headers.get("x-oauth-scopes")).toBe("user:email, read:org");
  });

  test("pages its lists", async () => {
    const organisations = Array.from({ length: 130 }, (_, index) => `org-${index}`);
    github.setAccount({ ...OCTOCAT, organisations });
    const wide = `Bearer ${await token("read:org")}`;
    expect((await api("/user/orgs", wide)).body).toHaveLength(30);
    expect((await api("/user/orgs?per_page=100&page=2", wide)).body).toHaveLength(30);
  });

  test("refuses as GitHub does: no token, a bad one, a revoked one, no user agent", async () => {
    expect(await api("/user")).toMatchObject({ status: 401, body: { message: "Requires authentication" } });
    expect(await api("/user", "Bearer gho_x")).toMatchObject({
      status: 401,
      body: { message: "Bad credentials" },
    });
    const revoked = await token("");
    github.revokeTokens("octocat");
    expect((await api("/user", `Bearer ${revoked}`)).status).toBe(401);
    expect((await fetch(`${github.url}/user`, { headers: { "user-agent": "" } })).status).toBe(403);
    expect((await api("/nothing", `Bearer ${await token("")}`)).body).toMatchObject({ message: "Not Found" });
  });
});

describe("failures", () => {
  test("cut, break, stall or limit what they are about, until they are over", async () => {
    const authorization = `Bearer ${await token("")}`;
    github.fail("down");
    await expect(api("/user", authorization)).rejects.toThrow("fetch failed");
    github.fail("broken");
    expect((await fetch(`${github.url}/user`)).status).toBe(502);
    github.fail("rate_limited");
    expect(await api("/user", authorization)).toMatchObject({ status: 403 });
    expect((await redeem({ code: "x" })).status).toBe(200);
    github.fail("slow");
    await expect(fetch(`${github.url}/user`, { signal: AbortSignal.timeout(100) })).rejects.toThrow(
      "timeout",
    );
    expect((await authorize({})).status).toBe(200);
    github.fail();
    expect((await api("/user", authorization)).status).toBe(200);
  });

  test("a renamed account keeps its id and its tokens", async () => {
    const authorization = `Bearer ${await token("", "hubot")}`;
    github.setAccount({ ...HUBOT, login: "robot" });
    expect((await api("/user", authorization)).body).toMatchObject({ login: "robot", id: HUBOT.id });
    github.setAccount(HUBOT);
  });
});
