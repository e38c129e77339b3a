import * as oauth from "oauth4webapi";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Browser, Harness } from "./support/authorization-server-harness.ts";

let host: Harness;
let options: {
  [oauth.customFetch]: (url: string, init: oauth.CustomFetchOptions<string, unknown>) => Promise<Response>;
};
beforeAll(async () => {
  host = await Harness.start();
  // The oracle insists on https; the server under test stands behind TLS that other code ends.
  const send = async (url: string, init: oauth.CustomFetchOptions<string, unknown>): Promise<Response> => {
    const { pathname, search } = new URL(url);
    const body = init.body instanceof URLSearchParams ? init.body.toString() : init.body;
    const answer = await host.request(pathname + search, {
      method: init.method ?? "GET",
      headers: Object.fromEntries(new Headers(init.headers)),
      ...(typeof body === "string" ? { body } : {}),
    });
    const headers = new Headers();
    for (const [name, value] of Object.entries(answer.headers)) {
      if (typeof value === "string") headers.set(name, value);
    }
    return new Response(answer.status === 204 ? null : answer.text, { status: answer.status, headers });
  };
  options = { [oauth.customFetch]: send };
});
afterAll(async () => {
  await host.stop();
});

const REDIRECT_URI = "http://127.0.0.1:6276/oauth/callback";

async function authorize(
  as: oauth.AuthorizationServer,
  client: oauth.Client,
): Promise<{ params: URLSearchParams; verifier: string }> {
  const verifier = oauth.generateRandomCodeVerifier();
  const url = new URL(as.authorization_endpoint ?? "");
  url.search = new URLSearchParams({
    response_type: "code",
    client_id: client.client_id,
    redirect_uri: REDIRECT_URI,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: "S256",
    state: "st-3",
    resource: `${host.origin}/mcp`,
    scope: "mcp",
  }).toString();
  const { location } = await new Browser(host).open(url.pathname + url.search);
  const params = oauth.validateAuthResponse(as, client, location ?? new URL("about:blank"), "st-3");
  return { params, verifier };
}

describe("a strict client (oauth4webapi) agrees with every answer", () => {
  test.each(["oauth2", "oidc"] as const)("discovery by %s (RFC 8414 section 3.3)", async (algorithm) => {
    const issuer = new URL(host.origin);
    const response = await oauth.discoveryRequest(issuer, { algorithm, ...options });
    const as = await oauth.processDiscoveryResponse(issuer, response);
    expect(as.issuer).toBe(host.origin);
  });

  test.each(["none", "client_secret_post", "client_secret_basic"] as const)(
    "registration, code, tokens, refresh, introspection and revocation with %s",
    async (method) => {
      const issuer = new URL(host.origin);
      const discovered = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...options });
      const as = await oauth.processDiscoveryResponse(issuer, discovered);
      const registration = await oauth.dynamicClientRegistrationRequest(
        as,
        { redirect_uris: [REDIRECT_URI], token_endpoint_auth_method: method },
        options,
      );
      const client = await oauth.processDynamicClientRegistrationResponse(registration);
      const { client_secret: given } = client;
      expect(typeof given).toBe(method === "none" ? "undefined" : "string");
      const secret = typeof given === "string" ? given : "none";
      const auth = {
        none: oauth.None(),
        client_secret_post: oauth.ClientSecretPost(secret),
        client_secret_basic: oauth.ClientSecretBasic(secret),
      }[method];

      const { params, verifier } = await authorize(as, client);
      const tokenResponse = await oauth.authorizationCodeGrantRequest(
        as,
        client,
        auth,
        params,
        REDIRECT_URI,
        verifier,
        options,
      );
      const tokens = await oauth.processAuthorizationCodeResponse(as, client, tokenResponse);
      expect(tokens.token_type).toBe("bearer");

      const request = new Request(`${host.origin}/mcp`, {
        headers: { authorization: `Bearer ${tokens.access_token}` },
      });
      const claims = await oauth.validateJwtAccessToken(as, request, `${host.origin}/mcp`, options);
      expect(claims).toMatchObject({ sub: "octocat", client_id: client.client_id });
      await expect(
        oauth.validateJwtAccessToken(as, request, "https://other.example/mcp", options),
      ).rejects.toThrow(/aud/);

      const refreshResponse = await oauth.refreshTokenGrantRequest(
        as,
        client,
        auth,
        String(tokens.refresh_token),
        options,
      );
      const refreshed = await oauth.processRefreshTokenResponse(as, client, refreshResponse);
      expect(refreshed.refresh_token).not.toBe(tokens.refresh_token);

      const introspection = await oauth.introspectionRequest(
        as,
        client,
        auth,
        refreshed.access_token,
        options,
      );
      expect((await oauth.processIntrospectionResponse(as, client, introspection)).active).toBe(true);
      const revocation = await oauth.revocationRequest(
        as,
        client,
        auth,
        String(refreshed.refresh_token),
        options,
      );
      await oauth.processRevocationResponse(revocation);
      const after = await oauth.introspectionRequest(as, client, auth, refreshed.access_token, options);
      expect((await oauth.processIntrospectionResponse(as, client, after)).active).toBe(false);
    },
  );
});
