import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { exportSPKI, generateKeyPair, SignJWT, type JWTPayload } from "jose";
import { OpenIdProvider } from "../src/authorization-server/openid-provider.ts";
import { DEMO_LISTS, LoginHarness } from "./support/login-harness.ts";
import { OpenIdServer } from "./support/openid-server.ts";

let server: OpenIdServer;
let provider: OpenIdProvider;

beforeAll(async () => {
  server = await OpenIdServer.start();
});
afterAll(async () => {
  await server.stop();
});
beforeEach(() => {
  server.behave();
  provider = makeProvider();
});

function makeProvider(secret = server.clientSecret): OpenIdProvider {
  const { issuer, clientId, fetch } = server;
  return new OpenIdProvider({ issuer, clientId, clientSecret: secret }, { fetch });
}

const TRIP = {
  state: "s".repeat(43),
  codeVerifier: "v".repeat(43),
  redirectUri: "https://host.example/callback",
  needsMembership: false,
};

/** The whole trip of one login. */
async function logIn(by: OpenIdProvider = provider, trip = TRIP) {
  const back = await server.pass(await by.begin({ ...trip, chooseAccount: false }));
  return await by.finish({ ...trip, params: back.searchParams });
}

describe("a login with OpenID Connect", () => {
  test("knows the person by sub, and shows the verified address rather than a name they chose", async () => {
    expect(await logIn()).toEqual({
      identity: {
        uid: "oidc:a-1",
        login: "ann@example.com",
        email: "ann@example.com",
        emailVerified: true,
        organisations: [],
        teams: [],
      },
      membershipToken: undefined,
    });
  });

  test("asks with code, PKCE, nonce and the narrowest scope, and keeps the endpoint's own query", async () => {
    await logIn();
    const query = Object.fromEntries(server.seen.at(-1)?.query ?? []);
    expect(query).toMatchObject({
      tenant: "7",
      response_type: "code",
      scope: "openid email",
      code_challenge_method: "S256",
      client_id: server.clientId,
      redirect_uri: TRIP.redirectUri,
    });
    expect(query["nonce"]).toMatch(/^[\w-]{43}$/);
    expect(query["nonce"]).not.toBe(query["code_challenge"]);
  });

  test.each([
    [undefined, "client_secret_basic"],
    [["client_secret_post"], "client_secret_post"],
    [["private_key_jwt", "client_secret_post", "client_secret_basic"], "client_secret_basic"],
  ])("authenticates as %j allows (OpenID Connect Core section 9)", async (authMethods, used) => {
    server.behave({ authMethods });
    await logIn(makeProvider());
    expect(server.seen.at(-1)?.authMethod).toBe(used);
  });

  test("takes the address from userinfo when the id_token has none (Core section 5.4)", async () => {
    server.behave({ claims: {}, userinfo: { sub: "a-1", email: "ann@example.com", email_verified: true } });
    expect((await logIn()).identity).toMatchObject({ login: "ann@example.com", emailVerified: true });
  });

  test.each([
    [
      "about somebody else (Core section 5.3.2)",
      { sub: "b-2", email: "bob@example.com", email_verified: true },
    ],
    ["that nobody verified", { sub: "a-1", email: "ann@example.com" }],
    ["verified in words only", { sub: "a-1", email: "ann@example.com", email_verified: "true" }],
    [
      "with line breaks",
      { sub: "a-1", email: "ann@example.com\r\nX-Auth-User: admin", email_verified: true },
    ],
  ])("takes no address %s", async (_title, userinfo) => {
    server.behave({ claims: {}, userinfo });
    expect((await logIn()).identity).toMatchObject({ login: "a-1", email: null, emailVerified: false });
  });
});

describe("an id_token is refused (OpenID Connect Core section 3.1.3.7)", () => {
  const now = Math.floor(Date.now() / 1000);
  test.each<[string, (claims: JWTPayload) => JWTPayload]>([
    ["of another issuer", (claims) => ({ ...claims, iss: "https://accounts.evil.example" })],
    ["for another client", (claims) => ({ ...claims, aud: "somebody-else" })],
    [
      "for several clients without saying for whom",
      (claims) => ({ ...claims, aud: [server.clientId, "other"] }),
    ],
    ["issued to another client", (claims) => ({ ...claims, azp: "somebody-else" })],
    ["made for another login", (claims) => ({ ...claims, nonce: "n" })],
    ["without nonce", (claims) => ({ ...claims, nonce: undefined })],
    ["that has run out", (claims) => ({ ...claims, exp: now - 3600, iat: now - 3700 })],
    ["from the future", (claims) => ({ ...claims, iat: now + 3600, exp: now + 7200 })],
    ["made long ago", (claims) => ({ ...claims, iat: now - 7200 })],
    ["without sub", ({ sub, ...claims }) => (sub === undefined ? {} : claims)],
    ["with a sub that breaks lines", (claims) => ({ ...claims, sub: "a\r\nb" })],
    ["with an endless sub", (claims) => ({ ...claims, sub: "a".repeat(256) })],
  ])("%s", async (_title, forge) => {
    server.behave({ forge });
    await expect(logIn()).rejects.toMatchObject({ kind: "refused" });
  });

  test("unsigned", async () => {
    server.behave({
      token: (signed) => {
        const header = Buffer.from(JSON.stringify({ alg: "none" })).toString("base64url");
        return `${header}.${signed.split(".")[1] ?? ""}.`;
      },
    });
    await expect(logIn()).rejects.toMatchObject({ kind: "refused" });
  });

  test("signed with the public key as a shared secret, or with the client secret", async () => {
    const pem = await exportSPKI(server.keys.publicKey);
    for (const secret of [pem, server.clientSecret.padEnd(32, "x")]) {
      server.behave({
        token: async (signed) => {
          const claims = JSON.parse(
            Buffer.from(signed.split(".")[1] ?? "", "base64url").toString(),
          ) as JWTPayload;
          return await new SignJWT(claims)
            .setProtectedHeader({ alg: "HS256", kid: "k1" })
            .sign(new TextEncoder().encode(secret));
        },
      });
      await expect(logIn()).rejects.toMatchObject({ kind: "refused" });
    }
  });

  test("signed with a key of nobody", async () => {
    const { privateKey } = await generateKeyPair("RS256");
    server.behave({
      token: async (signed) => {
        const claims = JSON.parse(
          Buffer.from(signed.split(".")[1] ?? "", "base64url").toString(),
        ) as JWTPayload;
        return await new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: "k1" }).sign(privateKey);
      },
    });
    await expect(logIn()).rejects.toMatchObject({ kind: "refused" });
  });
});

describe("the provider", () => {
  test("whose document names another issuer, or an endpoint without TLS, is a matter for the operator", async () => {
    for (const discovery of [
      { issuer: "https://accounts.evil.example" },
      { token_endpoint: "http://127.0.0.1/token" },
      { jwks_uri: undefined },
    ]) {
      server.behave({ discovery });
      await expect(logIn(makeProvider())).rejects.toMatchObject({ kind: "misconfigured" });
    }
  });

  test("that does not know our secret is a matter for the operator", async () => {
    await expect(logIn(makeProvider("wrong"))).rejects.toMatchObject({
      kind: "misconfigured",
      message: "token endpoint: invalid_client",
    });
  });

  test("that refuses the code refuses the login", async () => {
    server.behave({ tokenError: "invalid_grant" });
    await expect(logIn()).rejects.toMatchObject({ kind: "refused" });
  });

  test("is believed about the callback only under its own name (RFC 9207)", async () => {
    server.behave({ callback: { iss: "https://accounts.evil.example" } });
    await expect(logIn()).rejects.toMatchObject({ kind: "refused" });
    server.behave({ callback: { iss: server.issuer } });
    expect((await logIn()).identity.uid).toBe("oidc:a-1");
    server.behave({ discovery: { authorization_response_iss_parameter_supported: true } });
    await expect(logIn(makeProvider())).rejects.toMatchObject({ kind: "refused" });
  });

  test("whose keys can't be read is unavailable, whatever the token", async () => {
    for (const path of ["/nothing", "/token"]) {
      server.behave({ discovery: { jwks_uri: server.issuer + path } });
      await expect(logIn(makeProvider())).rejects.toMatchObject({ kind: "unavailable" });
    }
  });

  test("away is unavailable", async () => {
    const gone = new OpenIdProvider(
      { issuer: "https://localhost:1", clientId: "c", clientSecret: "s" },
      { fetch: server.fetch },
    );
    await expect(gone.begin({ ...TRIP, chooseAccount: false })).rejects.toMatchObject({
      kind: "unavailable",
    });
  });
});

describe("a host with identity_provider oidc", () => {
  let harness: LoginHarness;

  beforeAll(async () => {
    harness = await LoginHarness.start({ login: { http: { fetch: server.fetch } } });
  });
  afterAll(async () => {
    await harness.stop();
  });
  beforeEach(() => {
    harness.host.configure(oidc(["email:ann@example.com"]));
  });
  afterEach(() => {
    harness.records.length = 0;
  });

  function oidc(users: readonly string[]): Record<string, unknown> {
    return {
      ...DEMO_LISTS,
      auth_required_users: users,
      oauth_admin_users: ["id:a-1"],
      identity_provider: "oidc",
      oidc_issuer: server.issuer,
      oidc_client_id: server.clientId,
      oidc_client_secret: server.clientSecret,
    };
  }

  async function end(): Promise<URL> {
    const browser = harness.browser();
    const consent = await browser.open((await harness.authorization()).url);
    expect(consent.text).toContain(`Continue with ${new URL(server.issuer).host}`);
    const away = await browser.submit(consent);
    const back = await server.pass(away.url);
    return (await browser.open(back)).url;
  }

  test("logs in who its lists name by verified address or sub", async () => {
    expect((await end()).searchParams.has("code")).toBe(true);
    expect(harness.recorded("login_succeeded")).toMatchObject([{ user: "ann@example.com", uid: "oidc:a-1" }]);
  });

  test("refuses everyone else, and names that people give themselves", async () => {
    harness.host.configure(oidc(["admin", "email:bob@example.com", "id:b-2"]));
    expect((await end()).searchParams.get("error")).toBe("access_denied");
  });

  test("pins nobody, for no list names a login", async () => {
    await end();
    expect(await harness.host.redis.keys("oauth:pin:*")).toEqual([]);
  });

  test("away when the form comes back: the page says so, and the same form works when it is there again", async () => {
    harness.host.configure({ ...oidc(["*"]), oidc_issuer: "https://localhost:1" });
    const browser = harness.browser();
    const consent = await browser.open((await harness.authorization()).url);
    const away = await browser.submit(consent);
    expect(away.status).toBe(503);
    expect(away.headers["retry-after"]).toBe("5");
    expect(harness.recorded("provider_failed")).toHaveLength(1);
    harness.host.configure(oidc(["*"]));
    expect((await browser.submit(consent)).url.origin).toBe(server.issuer);
  });

  test("ends a login that was sent to GitHub before the change", async () => {
    harness.host.configure(DEMO_LISTS);
    const browser = harness.browser();
    const page = await browser.submit(await browser.open((await harness.authorization()).url));
    harness.host.configure(oidc(["*"]));
    expect((await browser.submit(page)).status).toBe(400);
  });
});
