/** An attacker with a client, a browser and an account of his own, and a victim with hers: docs/attack-suites.md has the list. */
import { once } from "node:events";
import { createServer, type AddressInfo, type Server } from "node:net";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { exportJWK, generateKeyPair } from "jose";
import { Harness, PUBLIC_CLIENT } from "./support/authorization-server-harness.ts";
import { clientAssertion } from "./support/client-assertion.ts";
import { LoginHarness, ORIGIN, type Authorization } from "./support/login-harness.ts";
import type { PersonBrowser, Stop } from "./support/person-browser.ts";

let harness: LoginHarness;
/** A service on loopback that nobody from outside may make us talk to, and how often somebody did. */
let inside: Server;
let reached = 0;
beforeAll(async () => {
  harness = await LoginHarness.start();
  inside = createServer((socket) => {
    reached += 1;
    socket.destroy();
  });
  inside.listen(0, "127.0.0.1");
  await once(inside, "listening");
});
afterAll(async () => {
  inside.close();
  await harness.stop();
});
afterEach(() => {
  harness.records.length = 0;
});

/** A browser that is signed in at the provider, and so gets through it without a click. */
async function browserOf(login: string): Promise<PersonBrowser> {
  const browser = harness.browser();
  await browser.open(harness.github.signInUrl(login));
  return browser;
}

async function redeem(
  { client, verifier, redirectUri }: Authorization,
  code: string,
  over: Record<string, string> = {},
): Promise<string> {
  const answer = await harness.host.post("/token", {
    grant_type: "authorization_code",
    code,
    redirect_uri: redirectUri,
    client_id: client.json["client_id"],
    code_verifier: verifier,
    ...over,
  });
  return answer.status === 200 ? "tokens" : answer.json["error"];
}

function codeOf(end: Stop): string {
  return end.url.searchParams.get("code") ?? "";
}

describe("one login, two browsers", () => {
  test("the attacker approves and hands the provider's page to the victim: she is refused, he gets no code", async () => {
    const attacker = harness.browser();
    const authorization = await harness.authorization({ client_name: "Claude" });
    // He is not signed in there, so his browser stops at the provider's page, with a state that he approved.
    const provider = await attacker.submit(await attacker.open(authorization.url));
    const victim = await browserOf("octocat");
    const end = await victim.open(provider.url);
    expect([end.status, end.url.pathname, codeOf(end)]).toEqual([400, "/callback", expect.any(String)]);
    expect(harness.recorded("authorization_granted")).toEqual([]);
    // Nor can he use what the provider gave her: what is in her address bar is of no use in his browser without his own sign-in.
    const replayed = await attacker.open(end.url);
    expect(replayed.url.origin === "https://client.example" && codeOf(replayed) !== "").toBe(false);
  });

  test("login CSRF: the attacker's callback link logs nobody in elsewhere", async () => {
    const attacker = await browserOf("hubot");
    const { url } = await harness.authorization();
    await attacker.open(url);
    const victim = await browserOf("octocat");
    await victim.open((await harness.authorization()).url);
    const callbacks = [
      "?code=attackers-code&state=attackers-state",
      "?code=x",
      "?error=access_denied&state=x",
    ];
    for (const query of callbacks) expect((await victim.open(`/callback${query}`)).status).toBe(400);
    expect(harness.recorded("login_succeeded")).toEqual([]);
  });

  test("the attacker's consent page in the victim's browser shows no form, whatever cookies he tosses", async () => {
    const attacker = harness.browser();
    const page = await attacker.open((await harness.authorization()).url);
    const tossed = attacker.cookieHeader(page.url).replaceAll("__Host-", "");
    const answer = await harness.host.request(page.url.pathname, { headers: { cookie: tossed } });
    expect([answer.status, /<form/.test(answer.text)]).toEqual([400, false]);
    const form = await harness.host.post(page.url.pathname, page.forms[0]?.fields ?? {}, {
      cookie: tossed,
      origin: ORIGIN,
    });
    expect(form.status).toBe(400);
  });
});

describe("a stolen authorization code", () => {
  test("is of no use with another verifier, client or redirect URI, and stays good for its own", async () => {
    const victims = await harness.authorization({
      redirect_uris: ["https://client.example/a", "https://client.example/b"],
    });
    const stolen = codeOf(await harness.logIn("octocat", victims));
    // Code injection: his own session of the same client has another verifier.
    const attackers = await harness.authorization();
    expect(await redeem(victims, stolen, { code_verifier: attackers.verifier })).toBe("invalid_grant");
    expect(await redeem(attackers, stolen)).toBe("invalid_grant");
    expect(await redeem(attackers, stolen, { code_verifier: victims.verifier })).toBe("invalid_grant");
    expect(await redeem(victims, stolen, { redirect_uri: "https://client.example/b" })).toBe("invalid_grant");
    expect(await redeem(victims, stolen, { code_verifier: "" })).toBe("invalid_grant");
    expect(await redeem(victims, stolen)).toBe("tokens");
    expect(await redeem(victims, stolen)).toBe("invalid_grant");
  });

  test("an access token or a state in its place is none", async () => {
    const authorization = await harness.authorization();
    const { answer } = await harness.tokens("octocat");
    for (const code of [answer.json["access_token"], answer.json["refresh_token"], "st-1", ""])
      expect(await redeem(authorization, code)).toMatch(/^invalid_(?:grant|request)$/);
  });
});

describe("a redirect URI that is nearly the registered one: a page, and nobody is sent anywhere", () => {
  const loopback = "http://127.0.0.1/callback";
  const web = "https://client.example/callback";
  test.each([
    [loopback, "http://localhost:3000/callback"],
    [loopback, "http://[::1]:3000/callback"],
    [loopback, "http://127.1:3000/callback"],
    [loopback, "http://2130706433:3000/callback"],
    [loopback, "http://127.0.0.1:3000@evil.example/callback"],
    [loopback, "http://evil.example:3000/callback"],
    [loopback, "http://127.0.0.1.evil.example:3000/callback"],
    [loopback, "http://127.0.0.1:3000/callback/"],
    [loopback, "http://127.0.0.1:3000/Callback"],
    [loopback, "http://127.0.0.1:3000/callback/../other"],
    [loopback, "http://127.0.0.1:3000/callback%2f..%2fother"],
    [loopback, "http://127.0.0.1:3000/callback?next=https://evil.example"],
    [loopback, "http://127.0.0.1:3000/callback#x"],
    [loopback, "http://user@127.0.0.1:3000/callback"],
    [loopback, "http://127.0.0.1:99999/callback"],
    [loopback, "http://127.0.0.1:3000\\@evil.example/callback"],
    [loopback, "https://127.0.0.1:3000/callback"],
    [loopback, "cursor://127.0.0.1/callback"],
    [web, "https://client.example:444/callback"],
    [web, "https://client.example/callback/"],
    [web, "https://client.example/callback/..;/other"],
    [web, "https://client.example/x/../callback"],
    [web, "https://client.example/callback?x=1"],
    [web, "https://client.example/callback#x"],
    [web, "https://client.example/%63allback"],
    [web, "https://client.example./callback"],
    [web, "https://sub.client.example/callback"],
    [web, "https://client.example.evil.example/callback"],
    [web, "https://client.example@evil.example/callback"],
    [web, "https://evil.example\\@client.example/callback"],
    [web, "https://evil.example/https://client.example/callback"],
    [web, "https://сlient.example/callback"],
    [web, "//client.example/callback"],
    [web, "javascript:alert(1)//https://client.example/callback"],
    [web, "data:text/html,https://client.example/callback"],
  ])("%s registered, %s asked for", async (registered, asked) => {
    const { url } = await harness.authorization({ redirect_uris: [registered] }, { redirect_uri: asked });
    const answer = await harness.host.request(url);
    expect([answer.status, answer.headers.location, answer.headers["set-cookie"]]).toEqual([
      400,
      undefined,
      undefined,
    ]);
    expect(answer.text).not.toMatch(/<script|(?:href|src)="javascript:/i);
  });

  test("nor by two of them, or by an error in the request", async () => {
    const { url } = await harness.authorization();
    const evil = "redirect_uri=https%3A%2F%2Fevil.example%2F";
    for (const twice of [`${url}&${evil}`, url.replace("?", `?${evil}&`)]) {
      const { location = "https://client.example/" } = (await harness.host.request(twice)).headers;
      expect(new URL(location).origin).toBe("https://client.example");
    }
    const wrong = [
      url.replace("response_type=code", "response_type=token").replace(/redirect_uri=[^&]*/, evil),
      `/authorize?client_id=https%3A%2F%2Fevil.example%2F&${evil}`,
      `/callback?error=x&${evil}`,
      "/interaction/x?redirect=https%3A%2F%2Fevil.example",
    ];
    for (const path of wrong) {
      const { status, headers } = await harness.host.request(path);
      expect([path, status, headers.location]).toEqual([path, 400, undefined]);
    }
  });
});

describe("a malicious client", () => {
  test.each(["https://127.0.0.1", "https://localhost", "https://[::ffff:127.0.0.1]", "https://2130706433"])(
    "a key set at %s is never fetched",
    async (place) => {
      const { port } = inside.address() as AddressInfo;
      const { privateKey, publicKey } = await generateKeyPair("RS256");
      expect((await exportJWK(publicKey)).kty).toBe("RSA");
      const authorization = await harness.authorization({
        token_endpoint_auth_method: "private_key_jwt",
        token_endpoint_auth_signing_alg: "RS256",
        jwks_uri: `${place}:${port}/keys`,
      });
      const clientId: string = authorization.client.json["client_id"];
      const proof = await clientAssertion({ clientId, audience: ORIGIN, kid: "k", jti: "1", privateKey });
      expect(await redeem(authorization, "x", proof)).toBe("invalid_client");
      expect(reached).toBe(0);
    },
  );

  test("a request object is fetched from nowhere", async () => {
    const { port } = inside.address() as AddressInfo;
    const { url } = await harness.authorization({}, { request_uri: `https://127.0.0.1:${port}/request` });
    const end = await harness.browser().open(url);
    expect(end.url.searchParams.get("error")).toBe("request_uri_not_supported");
    expect(reached).toBe(0);
  });

  test("logo and pages with a scheme that runs are dropped, and those that stay are not on the consent page", async () => {
    const good = "https://evil.example/logo.svg";
    const { client, url } = await harness.authorization({
      client_name: "Claude",
      logo_uri: "javascript:alert(1)",
      client_uri: "data:text/html,x",
      tos_uri: good,
      policy_uri: "vbscript:x",
    });
    for (const name of ["logo_uri", "client_uri", "policy_uri"]) expect(client.json[name]).toBeUndefined();
    const page = await harness.browser().open(url);
    expect(page.text).not.toMatch(/javascript:|data:text|vbscript:|evil\.example/);
  });

  test("a name like another's does not hide where the code goes: the host is shown as DNS has it", async () => {
    const { url } = await harness.authorization({
      client_name: "Claude",
      redirect_uris: ["https://xn--laude-bxd.ai/callback"],
    });
    const page = await harness.browser().open(url);
    expect(page.text).toContain("xn--laude-bxd.ai");
  });

  test("a second client of the same name has no rights of the first: consent is asked again", async () => {
    const browser = await browserOf("octocat");
    const first = await browser.submit(
      await browser.open((await harness.authorization({ client_name: "Claude" })).url),
    );
    expect(codeOf(first)).not.toBe("");
    const second = await browser.open(
      (await harness.authorization({ client_name: "Claude", redirect_uris: ["https://evil.example/cb"] }))
        .url,
    );
    expect([second.status, second.forms.length > 0]).toEqual([200, true]);
    expect(second.text).toContain("evil.example");
  });

  test.each(["form_post", "web_message", "fragment", "query.jwt"])(
    "response_mode %s opens no other way out",
    async (mode) => {
      const { url } = await harness.authorization({}, { response_mode: mode });
      const end = await harness.browser().open(url);
      expect([end.url.origin, end.url.searchParams.get("error"), end.url.hash]).toEqual([
        "https://client.example",
        "unsupported_response_mode",
        "",
      ]);
      expect(end.text).toBe("");
    },
  );
});

describe("what leaves the authorization server", () => {
  test("redirects are 302 or 303, never 307, and no page hands its address on (RFC 9700 sections 4.2, 4.12)", async () => {
    const browser = await browserOf("octocat");
    const { host } = harness;
    const started = await host.request((await harness.authorization()).url);
    const page = await browser.open((await harness.authorization()).url);
    const cookie = browser.cookieHeader(page.url);
    const answered = await host.post(page.url.pathname, page.forms[0]?.fields ?? {}, {
      cookie,
      origin: ORIGIN,
    });
    const refused = await host.request((await harness.authorization({}, { response_type: "token" })).url);
    expect(
      [started.status, answered.status, refused.status].filter((status) => status !== 302 && status !== 303),
    ).toEqual([]);
    expect(page.headers["referrer-policy"]).toBe("same-origin");
    const end = await browser.submit(await browser.open((await harness.authorization()).url));
    expect(end.url.href).not.toMatch(/token|github/);
  });

  test("no token is in any address: a code alone travels by the browser, and ends after one use", async () => {
    const authorization = await harness.authorization();
    const end = await harness.logIn("octocat", authorization);
    expect([...end.url.searchParams.keys()].toSorted()).toEqual(["code", "iss", "state"]);
    expect(end.url.hash).toBe("");
  });
});

describe("a malicious second host on the same system", () => {
  let other: Harness;
  beforeAll(async () => {
    const { store, secret } = harness.host;
    other = await Harness.start({ redis: store, secret, name: "evil.example.com" });
  });
  afterAll(() => other.stop());

  test("mix-up: each answer names its issuer, and a code of one host is no code at the other", async () => {
    const authorization = await harness.authorization();
    const end = await harness.logIn("octocat", authorization);
    expect(end.url.searchParams.get("iss")).toBe(ORIGIN);
    const client = await other.register(PUBLIC_CLIENT);
    const sent = await other.post("/token", {
      grant_type: "authorization_code",
      code: codeOf(end),
      redirect_uri: authorization.redirectUri,
      client_id: client.json["client_id"],
      code_verifier: authorization.verifier,
    });
    expect(sent.json["error"]).toBe("invalid_grant");
    // Being shown elsewhere has not used it up, nor ended anything.
    expect(await redeem(authorization, codeOf(end))).toBe("tokens");
  });

  test.each([
    "https://evil.example.com",
    "https://evil.example.com/mcp",
    `${ORIGIN}@evil.example.com/mcp`,
    `${ORIGIN}.evil.example.com/mcp`,
  ])("a token for %s is not to be had here", async (resource) => {
    const { url } = await harness.authorization({}, { resource });
    expect((await harness.browser().open(url)).url.searchParams.get("error")).toBe("invalid_target");
    const authorization = await harness.authorization();
    const code = codeOf(await harness.logIn("octocat", authorization));
    expect(await redeem(authorization, code, { resource })).toBe("invalid_target");
  });

  test("its browser cookies, states and consent pages are nothing here", async () => {
    const browser = await browserOf("octocat");
    const page = await browser.open((await harness.authorization()).url);
    const path = page.url.pathname;
    expect((await other.request(path, { headers: { cookie: browser.cookieHeader(page.url) } })).status).toBe(
      403,
    );
  });
});
