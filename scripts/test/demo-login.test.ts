import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { startGitHub } from "@gatehouse/testbed/github";
import { ScriptedBrowser } from "@gatehouse/testbed/scripted-browser";
import { logInAnother, logInAsClaude, type ClaudeLogin } from "../demo/claude-login.ts";
import type { DemoFile } from "../demo/demo-file.ts";
import type { Narrator } from "../demo/narrator.ts";
import { discover } from "../demo/oauth-client.ts";
import { Peer } from "../demo/peer.ts";
import { scriptedPerson } from "../demo/person.ts";
import { connect, whoAmI } from "../demo/tool-visit.ts";
import { demoFile, startDemo, until, type DemoRun } from "./demo-run.ts";

const HOST = "simple-oauth.localhost";
const TIMEOUT_MS = 120_000;

let directory: string;
let run: DemoRun;
let file: DemoFile;
let peer: Peer;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-demo-login-"));
  run = startDemo(["--state-dir", join(directory, "one")]);
  file = await demoFile(join(directory, "one"), run);
  peer = new Peer({ ...file.dispatcher, caPem: await readFile(file.ca_file, "utf8") });
}, TIMEOUT_MS);

afterAll(async () => {
  await peer?.close();
  run.child.kill("SIGTERM");
  await run.ended;
  await rm(directory, { recursive: true, force: true });
}, TIMEOUT_MS);

function endpoint(): URL {
  return new URL("/mcp", file.hosts[HOST]!.origin);
}

const silent: Narrator = { step: () => undefined, detail: () => undefined };

async function logIn(login: string): Promise<ClaudeLogin> {
  const person = scriptedPerson(login, peer.fetch, () => undefined);
  return await logInAsClaude(peer.fetch, { endpoint: endpoint(), person, narrator: silent });
}

describe("the protected host of the demo", () => {
  test("was shown as Claude uses it: challenge, registration, consent, login, code, calls, refresh", () => {
    const { origin } = endpoint();
    const steps = [
      `POST ${origin}/mcp: 401, WWW-Authenticate: Bearer`,
      `GET ${origin}/.well-known/oauth-protected-resource/mcp: 200`,
      `POST ${origin}/register {"client_name":"Claude","redirect_uris":["https://claude.ai/api/mcp/auth_callback"],` +
        '"grant_types":["authorization_code","refresh_token"],"scope":"openid profile email"}',
      `with resource ${origin}, scope "openid profile email", a PKCE challenge (S256) and a state`,
      '"Claude asks for access"; octocat agrees',
      "octocat signs in",
      `${origin}/callback: 303`,
      "the browser ends at https://claude.ai/api/mcp/auth_callback with code, state, iss",
      `sub "octocat", scope "admin user mcp", aud ["${origin}"]`,
      `sub "hubot", scope "user mcp", aud ["${origin}"]`,
      "X-Auth-User octocat, X-Auth-Scopes admin user mcp, X-Auth-Email octocat@github.com, X-Auth-Client client_",
      "Claude refreshes its token",
      `sub "octocat", scope "admin user mcp"`,
      "X-Auth-User octocat",
      `${HOST}: "ping - `,
    ];
    let position = 0;
    for (const step of steps) {
      const found = run.output().indexOf(step, position);
      expect([step, found >= position]).toEqual([step, true]);
      position = found + step.length;
    }
  });

  test("is in demo.json with the stand-in for GitHub", () => {
    expect(file.hosts[HOST]).toEqual({ auth: true, origin: endpoint().origin, port: expect.any(Number) });
    expect(file.github).toEqual({
      url: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+$/),
      users: ["octocat", "hubot"],
      sign_in: `${file.github.url}/session?login=`,
    });
  });

  test("gives hubot `user mcp`, and its upstream no address for it", async () => {
    const { client, tokens } = await logIn("hubot");
    expect(tokens.claims).toEqual({ sub: "hubot", scope: "user mcp", aud: [endpoint().origin] });
    const visit = { url: endpoint(), address: "127.0.0.1", tokens: () => tokens };
    const mcp = await connect(peer, visit, "stateless 2026-07-28");
    expect(await whoAmI(mcp, visit)).toContain(
      `X-Auth-User hubot, X-Auth-Scopes user mcp, X-Auth-Email (absent), X-Auth-Client ${client.id}`,
    );
  });

  test("knows a browser that the sign_in address has signed in, and asks it for consent alone", async () => {
    const browser = new ScriptedBrowser(peer.fetch);
    expect((await browser.open(`${file.github.sign_in}octocat`)).status).toBe(200);
    const person = {
      ...scriptedPerson("octocat", peer.fetch, () => undefined),
      authorize: async (url: URL) =>
        (await browser.submit(await browser.open(url), { choice: "approve" })).url,
    };
    const tokens = await logInAnother(await logIn("hubot"), { endpoint: endpoint(), person });
    expect(tokens.claims.sub).toBe("octocat");
  });

  test("would not pass for right with a wrong answer: no challenge, another state, another server's code, another user", async () => {
    const open = new URL("/mcp", file.hosts["simple.localhost"]!.origin);
    await expect(discover(peer.fetch, open)).rejects.toThrow(/: 200 with the challenge ""$/);
    const { client, tokens } = await logIn("octocat");
    const request = client.authorize(endpoint().origin, "mcp");
    const back = (parameters: Record<string, string>): URL =>
      new URL(`${request.redirectUri}?${new URLSearchParams(parameters).toString()}`);
    const { state } = request;
    const iss = endpoint().origin;
    await expect(client.redeem(request, back({ state: "x", iss }))).rejects.toThrow(
      "state came back changed",
    );
    await expect(client.redeem(request, back({ state, iss: open.origin }))).rejects.toThrow(
      "another server's",
    );
    await expect(client.redeem(request, back({ state, iss, code: "x" }))).rejects.toThrow(
      "400 instead of 200",
    );
    await expect(client.redeem(request, back({ error: "access_denied" }))).rejects.toThrow("access_denied");
    const visit = { url: endpoint(), address: "127.0.0.1", tokens: () => tokens };
    const mcp = await connect(peer, visit, "stateless 2026-07-28");
    const claims = { ...tokens.claims, sub: "hubot" };
    await expect(whoAmI(mcp, { ...visit, tokens: () => ({ ...tokens, claims }) })).rejects.toThrow(
      "was told x-auth-",
    );
    await expect(whoAmI(mcp, { ...visit, tokens: undefined })).rejects.toThrow("was told x-auth-");
    await expect(whoAmI(mcp, { ...visit, address: "127.0.0.9" })).rejects.toThrow("the peer is 127.0.0.9");
  });

  test("is in Redis as the printed lines show: the client with its count, the tokens, no secret of either", async () => {
    const [, clientId] = /scripts\/redis "GET oauth:client:(client_[\w-]{22})"/.exec(run.output()) ?? [];
    expect(run.output()).toContain('scripts/redis "KEYS oauth:token:*"');
    const redis = new Redis({ path: file.redis_url.slice("unix://".length) });
    try {
      const record = JSON.parse((await redis.get(`oauth:client:${clientId}`)) ?? "{}") as object;
      // octocat's token, hubot's, and octocat's after the refresh.
      expect(record).toMatchObject({ client_name: "Claude", hostname: HOST, usage_count: 3 });
      expect(JSON.stringify(record)).not.toMatch(/"client_secret"|"registration_access_token"/);
      expect((await redis.keys("oauth:token:*")).length).toBeGreaterThanOrEqual(3);
    } finally {
      redis.disconnect();
    }
    expect(run.output()).not.toMatch(/eyJ[\w-]+\.eyJ|code=[\w-]{20}/);
  });

  test("takes a hundred registrations within seconds, as a test suite needs them", async () => {
    const { origin } = endpoint();
    const register = async (): Promise<number> => {
      const response = await peer.fetch(`${origin}/register`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ redirect_uris: ["https://one-host.example/callback"] }),
      });
      await response.body?.cancel();
      return response.status;
    };
    const statuses = await Promise.all(Array.from({ length: 100 }, register));
    expect(new Set(statuses)).toEqual(new Set([201]));
  });
});

describe("with GITHUB_CLIENT_ID", () => {
  test(
    "the demo waits for the browser of whoever runs it",
    async () => {
      // The public port is not known yet, and the app at GitHub names it.
      const callbackUrls = Array.from(
        { length: 500 },
        (_, i) => `https://simple-oauth.localhost:${8443 + i}/callback`,
      );
      const app = {
        clientId: "Iv1.own",
        clientSecret: "own-secret",
        callbackUrls,
      };
      const github = await startGitHub({ apps: [app] });
      const stateDir = join(directory, "own-app");
      const own = startDemo(["--state-dir", stateDir], {
        GITHUB_CLIENT_ID: app.clientId,
        GITHUB_CLIENT_SECRET: app.clientSecret,
        GITHUB_URL: github.url,
        GITHUB_API_URL: github.url,
      });
      const ownPeer = await until("the address to open", async () => {
        const [, url] = /^ *(https:\S+\/authorize\?\S+)$/m.exec(own.output()) ?? [];
        if (url === undefined && own.child.exitCode === null) return undefined;
        if (url === undefined) throw new Error(own.output());
        const caPem = await readFile(join(stateDir, "ca/ca.pem"), "utf8");
        return { url, peer: new Peer({ host: "127.0.0.1", port: Number(new URL(url).port), caPem }) };
      });
      try {
        expect(own.output()).toContain("its callback URL there must be https://simple-oauth.localhost:");
        const browser = new ScriptedBrowser(ownPeer.peer.fetch);
        await browser.open(github.signInUrl("hubot"));
        const end = await browser.submit(await browser.open(ownPeer.url), { choice: "approve" });
        expect([end.status, end.text]).toEqual([200, expect.stringContaining("may close this window")]);
        const { github: place } = await demoFile(stateDir, own);
        expect(place).toEqual({ url: github.url, users: [] });
        expect(own.output()).toContain('sub "hubot", scope "user mcp"');
      } finally {
        own.child.kill("SIGTERM");
        await own.ended;
        await ownPeer.peer.close();
        await github.close();
      }
    },
    TIMEOUT_MS,
  );
});
