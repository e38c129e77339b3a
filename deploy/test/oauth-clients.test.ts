/** Clients that other people wrote, on a protected host: each finds, registers, authorizes, calls and refreshes by its own rules. */
import { mkdtemp, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { freePort } from "@gatehouse/testbed/free-ports";
import { startMcpUpstream, type McpUpstream } from "@gatehouse/testbed/mcp-upstream";
import * as oauth from "oauth4webapi";
import { ClientProcess } from "./support/client-process.ts";
import { MemoryProvider } from "./support/memory-provider.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";
import { sdkV1, sdkV2, type SdkClient } from "./support/sdk-clients.ts";
import { until } from "@gatehouse/testbed/until";

const HOST = "simple-oauth.localhost";
const STEPWISE = "stepwise.localhost";
const TIMEOUT_MS = 60_000;

let upstream: McpUpstream;
let bed: ProtectedGatehouse;
let origin: string;

beforeAll(async () => {
  upstream = await startMcpUpstream({ name: "simple" });
  bed = await ProtectedGatehouse.start([
    { hostname: HOST, upstreamUrl: upstream.url },
    {
      hostname: STEPWISE,
      upstreamUrl: upstream.url,
      config: {
        scope_assignment: "requested",
        scope_rules: [{ mcp_method: "tools/call", tool: "whoami", scope: "admin" }],
      },
    },
  ]);
  origin = bed.origin(HOST);
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
  await upstream?.close();
});

async function authorize(provider: MemoryProvider, client: SdkClient, login: string): Promise<void> {
  const url = provider.visited.at(-1);
  if (url === undefined) throw new Error("nobody was sent anywhere");
  const { searchParams } = (await bed.logIn(url, login)).url;
  expect(searchParams.get("state")).toBe(provider.state());
  await client.finish(searchParams);
}

/** Revokes every access token; resolves when that one is refused. */
async function revokeAll(token: string): Promise<void> {
  await bed.gatehouse.store.del(await bed.gatehouse.store.keys("oauth:token:*"));
  const headers = { authorization: `Bearer ${token}` };
  await until(
    async () => (await bed.fetch(`${origin}/mcp`, { headers, method: "POST" })).status,
    (status) => status === 401,
  );
}

describe.each([
  ["1.32.2", sdkV1],
  ["2.4.0", sdkV2],
] as const)("the official SDK %s with its OAuth provider", (_version, open) => {
  test(
    "finds its way from a 401 to a tool call, and refreshes without the person",
    async () => {
      const provider = new MemoryProvider();
      const client = open(provider, { endpoint: new URL(`${origin}/mcp`), fetch: bed.fetch });
      await expect(client.connect()).rejects.toThrow(/Unauthorized/i);
      await authorize(provider, client, "octocat");
      expect(provider.kept).toMatchObject({ scope: "admin user mcp" });
      await client.connect();
      expect(await client.whoami()).toMatchObject({
        "x-auth-user": "octocat",
        "x-auth-scopes": "admin user mcp",
        "x-auth-client": provider.clientInformation()?.client_id,
      });
      // A call in the very moment of the revocation would have its answer cut off, and the SDK would wait for it.
      await revokeAll(provider.kept?.access_token ?? "");
      expect(await client.whoami()).toMatchObject({ "x-auth-user": "octocat" });
      expect(provider.visited).toHaveLength(1);
      await client.close();
    },
    TIMEOUT_MS,
  );
});

test(
  "the official SDK 2.4.0 steps up when a tool needs a scope more",
  async () => {
    const provider = new MemoryProvider();
    const client = sdkV2(provider, {
      endpoint: new URL(`${bed.origin(STEPWISE)}/mcp`),
      fetch: bed.fetch,
    });
    await expect(client.connect()).rejects.toThrow(/Unauthorized/i);
    await authorize(provider, client, "octocat");
    expect(provider.kept?.scope).toBe("mcp");
    await client.connect();
    await expect(client.whoami()).rejects.toThrow(/Unauthorized|insufficient/i);
    expect(provider.visited).toHaveLength(2);
    expect(provider.visited[1]?.searchParams.get("scope")?.split(" ")).toEqual(
      expect.arrayContaining(["admin", "mcp"]),
    );
    await authorize(provider, client, "octocat");
    expect(provider.kept?.scope).toBe("admin mcp");
    expect(await client.whoami()).toMatchObject({ "x-auth-scopes": "admin mcp" });
    await client.close();
  },
  TIMEOUT_MS,
);

test(
  "mcp-remote authorizes in the browser and lists the tools",
  async () => {
    const main = join(
      dirname(createRequire(import.meta.url).resolve("mcp-remote/package.json")),
      "dist/client.js",
    );
    const directory = await mkdtemp(join(tmpdir(), "mcp-remote-"));
    const { caPath } = bed.gatehouse;
    const env = { MCP_REMOTE_CONFIG_DIR: directory, HOME: directory };
    const client = new ClientProcess([main, `${origin}/mcp`], { caPath, env });
    try {
      await until(
        () => client.output,
        (output) => /https:\S+\/authorize\?\S+/.test(output),
      );
      const [url = ""] = /https:\S+\/authorize\?\S+/.exec(client.output) ?? [];
      const { status } = await bed.logIn(url, "hubot");
      expect(status).toBe(200);
      expect(await client.ended()).toBe(0);
      expect(client.output).toContain("get_weather");
    } finally {
      await client.stop();
      await rm(directory, { recursive: true });
    }
  },
  TIMEOUT_MS,
);

test(
  "the conformance suite finds nothing wrong with the authorization server",
  async () => {
    const port = await freePort();
    const registered = await bed.fetch(`${origin}/register`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        redirect_uris: [`http://127.0.0.1:${port}/callback`],
        token_endpoint_auth_method: "none",
        application_type: "native",
      }),
    });
    const { client_id } = (await registered.json()) as { client_id: string };
    const manifest = createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json");
    const main = join(dirname(manifest), "dist/index.js");
    const options = ["--url", origin, "--client-id", client_id, "--port", String(port)];
    const { caPath } = bed.gatehouse;
    const suite = new ClientProcess([main, "authorization", ...options, "--resource", `${origin}/mcp`], {
      caPath,
    });
    try {
      await until(
        () => suite.output,
        (output) => /https:\S+\/authorize\?\S+/.test(output),
      );
      const [url = ""] = /https:\S+\/authorize\?\S+/.exec(suite.output) ?? [];
      await bed.logIn(url, "octocat");
      expect(await suite.ended()).toBe(0);
      expect(suite.output).toMatch(/Total: 3 passed, 0 failed/);
    } finally {
      await suite.stop();
    }
  },
  TIMEOUT_MS,
);

describe("oauth4webapi, which takes every rule at its word", () => {
  const REDIRECT_URI = "https://client.example/callback";
  let options: Record<symbol, unknown>;

  beforeAll(() => {
    const send = async (url: string, init: oauth.CustomFetchOptions<string, unknown>): Promise<Response> =>
      await bed.fetch(url, init as RequestInit);
    options = { [oauth.customFetch]: send };
  });

  test(
    "agrees with every answer from the resource metadata to introspection",
    async () => {
      const resource = new URL(`${origin}/mcp`);
      const described = await oauth.processResourceDiscoveryResponse(
        resource,
        await oauth.resourceDiscoveryRequest(resource, options),
      );
      expect(described.authorization_servers).toEqual([origin]);
      const issuer = new URL(origin);
      const as = await oauth.processDiscoveryResponse(
        issuer,
        await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...options }),
      );
      const client = await oauth.processDynamicClientRegistrationResponse(
        await oauth.dynamicClientRegistrationRequest(as, { redirect_uris: [REDIRECT_URI] }, options),
      );
      const verifier = oauth.generateRandomCodeVerifier();
      const url = new URL(as.authorization_endpoint ?? "");
      url.search = new URLSearchParams({
        response_type: "code",
        client_id: client.client_id,
        redirect_uri: REDIRECT_URI,
        code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
        code_challenge_method: "S256",
        state: "st-1",
        resource: resource.href,
      }).toString();
      const back = (await bed.logIn(url, "octocat")).url;
      const params = oauth.validateAuthResponse(as, client, back, "st-1");
      const auth = oauth.ClientSecretBasic(client["client_secret"] as string);
      const tokens = await oauth.processAuthorizationCodeResponse(
        as,
        client,
        await oauth.authorizationCodeGrantRequest(as, client, auth, params, REDIRECT_URI, verifier, options),
      );
      const request = new Request(resource, { headers: { authorization: `Bearer ${tokens.access_token}` } });
      const claims = await oauth.validateJwtAccessToken(as, request, resource.href, options);
      expect(claims).toMatchObject({ sub: "octocat", scope: "admin user mcp", client_id: client.client_id });
      await expect(
        oauth.validateJwtAccessToken(as, request, "https://elsewhere.example", options),
      ).rejects.toThrow(/aud/);
      const pings = new URL("/sse-ping", origin);
      const call = async (token: string): Promise<Response> =>
        await oauth.protectedResourceRequest(token, "GET", pings, undefined, undefined, options);
      const answer = await call(tokens.access_token);
      expect(answer.status).toBe(200);
      await answer.body?.cancel();
      await expect(call("nonsense")).rejects.toMatchObject({
        cause: [{ scheme: "bearer", parameters: { error: "invalid_token", scope: "user" } }],
      });
      const refreshed = await oauth.processRefreshTokenResponse(
        as,
        client,
        await oauth.refreshTokenGrantRequest(as, client, auth, tokens.refresh_token ?? "", options),
      );
      await oauth.processRevocationResponse(
        await oauth.revocationRequest(as, client, auth, refreshed.access_token, options),
      );
      const introspected = await oauth.processIntrospectionResponse(
        as,
        client,
        await oauth.introspectionRequest(as, client, auth, refreshed.access_token, options),
      );
      expect(introspected).toEqual({ active: false });
    },
    TIMEOUT_MS,
  );
});
