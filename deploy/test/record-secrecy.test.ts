/** Nothing secret is ever recorded: secrets in every place that can hold one, and a search through everything that was written. */
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect as connectTcp } from "node:net";
import { connect } from "node:tls";
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import fc from "fast-check";
import { freePort } from "@gatehouse/testbed/free-ports";
import { ScriptedBrowser, type Page } from "@gatehouse/testbed/scripted-browser";
import { Canaries } from "./support/canaries.ts";
import { Claude } from "./support/claude.ts";
import { hostileRequest, onTheWire } from "./support/hostile-requests.ts";
import { LeakyUpstream } from "./support/leaky-upstream.ts";
import { learningFetch } from "./support/learning-fetch.ts";
import { ProtectedGatehouse, type ProtectedHostSpec } from "./support/protected-gatehouse.ts";
import { dumpText } from "./support/redis-dump.ts";
import { until } from "@gatehouse/testbed/until";
import { closed, WirePeer } from "./support/wire-peer.ts";

const OPEN = "open.localhost";
const PROTECTED = "kept.localhost";
const MISTAKEN = "mistaken.localhost";
const HOSTS = [OPEN, PROTECTED];
const TIMEOUT_MS = 60_000;
/** Longest that a record waits for company before it is written, and a margin. */
const FLUSH_MS = 200;

/** Nowhere but on the wire. */
const canaries = new Canaries();
/** What operators wrote into Redis themselves, which is why it is there; in no record all the same. */
const operators = new Canaries();
const plant = (slot: string): string => canaries.plant(slot);

/** Everything that the processes wrote. */
let output = "";
let upstream: LeakyUpstream;
let bed: ProtectedGatehouse;
let peer: WirePeer;
let fetch: typeof globalThis.fetch;
const adminPorts: number[] = [];

beforeAll(async () => {
  upstream = await LeakyUpstream.start(plant);
  const secretKey = randomBytes(32).toString("base64url");
  canaries.learn("GATEHOUSE_SECRET_KEY", secretKey);
  const mistakes = {
    github_client_id: "Iv1.unknown",
    github_client_secret: operators.plant("github_client_secret"),
    custom_headers: { "x-api-key": operators.plant("custom header") },
  };
  const hosts = [host(OPEN, { auth_enabled: false }), host(PROTECTED), host(MISTAKEN, mistakes)];
  bed = await ProtectedGatehouse.start(await Promise.all(hosts), {
    redisPassword: plant("REDIS_URL password"),
    instanceEnv: {
      LOG_LEVEL: "debug",
      GATEHOUSE_SECRET_KEY: secretKey,
      GATEHOUSE_HEADERS_TIMEOUT_MS: "1000",
      GATEHOUSE_UPSTREAM_HEADERS_TIMEOUT_MS: "300",
    },
    dispatcherEnv: { LOG_LEVEL: "debug", GATEHOUSE_HELLO_TIMEOUT_MS: "500" },
    onOutput: (text) => {
      output += text;
    },
  });
  peer = new WirePeer(bed.gatehouse);
  fetch = learningFetch(bed.fetch, canaries);
}, TIMEOUT_MS);

afterAll(async () => {
  await bed?.stop();
  upstream?.close();
});

async function host(hostname: string, config: Record<string, unknown> = {}): Promise<ProtectedHostSpec> {
  const adminPort = await freePort();
  adminPorts.push(adminPort);
  const env = { GATEHOUSE_INSTANCE_ADMIN_LISTEN: `127.0.0.1:${adminPort}` };
  return { hostname, upstreamUrl: upstream.url, config, env };
}

/** What was written so far, once nothing more is on its way. */
async function written(since = 0): Promise<string> {
  let length: number;
  do {
    length = output.length;
    await new Promise((resolve) => {
      setTimeout(resolve, FLUSH_MS);
    });
  } while (output.length > length);
  return output.slice(since);
}

function secretsIn(text: string): string[] {
  return [...canaries.findIn(text), ...operators.findIn(text)];
}

test(
  "no secret of a request, wherever it stands, and none of an upstream's answer",
  async () => {
    const cases = fc.tuple(hostileRequest, fc.constantFrom(...HOSTS), fc.boolean());
    await fc.assert(
      fc.asyncProperty(fc.array(cases, { minLength: 8, maxLength: 12 }), async (requests) => {
        const since = output.length;
        const sent = requests.map(async ([request, hostname, isHttp2]) => {
          const text = onTheWire(request, `${hostname}:${bed.gatehouse.port}`, plant);
          await (isHttp2 ? peer.sayOverHttp2(hostname, text) : peer.say(hostname, text));
        });
        await Promise.all(sent);
        const text = await written(since);
        expect(text).toContain("[proxy_handler]");
        expect(secretsIn(text)).toEqual([]);
      }),
      { numRuns: 10, endOnFailure: true },
    );
  },
  TIMEOUT_MS,
);

test("nor where the bytes are no TLS, or a handshake fails", async () => {
  const since = output.length;
  const { port } = bed.gatehouse;
  const greetings = [
    `GET /?token=${plant("plain query")} HTTP/1.1\r\nAuthorization: Bearer ${plant("plain Bearer")}\r\n\r\n`,
    `\u0016\u0003\u0001\u0000\u0040${plant("record")}`,
    plant("noise"),
  ];
  for (const greeting of greetings) {
    const socket = connectTcp(port, "127.0.0.1");
    socket.on("error", () => undefined).resume();
    socket.end(Buffer.from(greeting, "latin1"));
    await closed(socket);
  }
  const refused = connect({
    port,
    host: "127.0.0.1",
    servername: OPEN,
    ca: [],
    ALPNProtocols: [plant("ALPN")],
  });
  await once(refused, "error");
  const text = await written(since);
  expect(text).toContain("refused: not_tls");
  expect(text).toContain("TLS failed: no_application_protocol");
  expect(secretsIn(text)).toEqual([]);
});

/** As a person would; what GitHub answers the browser with may be replaced. */
async function logIn(
  url: URL,
  { login = "octocat", atProvider }: { login?: string; atProvider?: (back: URL) => void } = {},
): Promise<Page> {
  const browser = new ScriptedBrowser(async (target, init) => {
    const asked = new URL(target);
    const isProvider = asked.pathname === "/login/oauth/authorize";
    if (atProvider === undefined || !isProvider) return await fetch(asked, init);
    const back = new URL(asked.searchParams.get("redirect_uri") ?? "");
    back.searchParams.set("state", asked.searchParams.get("state") ?? "");
    atProvider(back);
    return new Response(null, { status: 302, headers: { location: back.href } });
  });
  await browser.open(bed.github.signInUrl(login));
  return await browser.submit(await browser.open(url));
}

/** Registers, logs in, calls, refreshes, replays, revokes; returns what a bearer had. */
async function wholeLife(): Promise<void> {
  const origin = bed.origin(PROTECTED);
  const claude = new Claude(fetch, origin);
  await claude.register();
  const tokens = await claude.authorize(async (url) => await logIn(url));
  expect(tokens.status).toBe(200);
  const call = { method: "POST", headers: { authorization: `Bearer ${tokens.access_token}` } };
  await (await fetch(`${origin}/mcp?access_token=${tokens.access_token}`, call)).text();
  await (await fetch(`${origin}/mcp`, call)).text();
  const { client_id: id, client_secret: secret, registration_access_token: manager } = claude.client;
  const basic = Buffer.from(`${String(id)}:${String(secret)}`).toString("base64");
  const form = (fields: Record<string, string>): RequestInit => ({
    method: "POST",
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams(fields),
  });
  const code = claude.callback?.searchParams.get("code") ?? "";
  for (const [path, fields] of [
    ["/introspect", { token: tokens.access_token }],
    ["/introspect", { token: tokens.refresh_token }],
    ["/token", { grant_type: "authorization_code", code, code_verifier: plant("code_verifier") }],
    ["/revoke", { token: tokens.access_token }],
  ] as const)
    await (await fetch(`${origin}${path}`, form(fields))).text();
  await (
    await fetch(`${origin}/token?${new URLSearchParams({ code, client_secret: String(secret) }).toString()}`)
  ).text();
  const next = await claude.refresh(tokens.refresh_token);
  await claude.refresh(next.refresh_token);
  expect((await claude.refresh(tokens.refresh_token)).error).toBe("invalid_grant");
  for (const token of [String(manager), plant("registration access token")]) {
    const headers = { authorization: `Bearer ${token}` };
    await (await fetch(`${origin}/register/${String(id)}`, { headers })).text();
  }
}

test(
  "no secret that was issued, shown or traded in during an OAuth client's life, in records or in Redis",
  async () => {
    const since = output.length;
    await wholeLife();
    const refused = new Claude(fetch, bed.origin(PROTECTED));
    await refused.register();
    const atProvider = (back: URL): void => {
      for (const name of ["error", "error_description", "error_uri", "code"])
        back.searchParams.set(name, plant(`provider's ${name}`));
    };
    await refused.authorize(async (url) => await logIn(url, { atProvider }));
    const badCode = (back: URL): void => back.searchParams.set("code", plant("provider's code"));
    await refused.authorize(async (url) => await logIn(url, { atProvider: badCode }));
    const mistaken = new Claude(fetch, bed.origin(MISTAKEN));
    await mistaken.register();
    const back = (url: URL): void => url.searchParams.set("code", plant("provider's code"));
    await mistaken.authorize(async (url) => await logIn(url, { atProvider: back }));
    const text = await written(since);
    for (const event of [
      "token issued",
      "grant revoked",
      "access token revoked",
      "sent the browser back",
      "GitHub: access_token",
    ])
      expect(text).toContain(event);
    expect(secretsIn(text)).toEqual([]);
    expect(text).not.toMatch(/gho_[0-9a-f]{8}|eyJ[\w-]{8}|github-app-secret/);
    // Claude's own id is public; what it can be used with is not.
    for (const key of ["oauth:*", "log:*", "acme:*"])
      expect(canaries.findIn(await dumpText(bed.gatehouse.store, key))).toEqual([]);
  },
  TIMEOUT_MS,
);

test(
  "no value of a document, a file or an environment that can't be used, on the health page neither",
  async () => {
    const since = output.length;
    const { gatehouse } = bed;
    const instance = gatehouse.instance(OPEN);
    await gatehouse.store.set(`route:${MISTAKEN}-2.localhost`, "13001;proxy=v9");
    await gatehouse.configure(OPEN, {
      target_url: `http://user:${operators.plant("target_url userinfo")}@127.0.0.1/?key=${operators.plant("target_url query")}`,
      target_ca_pem: operators.plant("key in the place of a certificate"),
      custom_headers: { [`x: ${operators.plant("header name")}`]: `${operators.plant("header value")}\n` },
      github_client_secret: [operators.plant("list of secrets")],
      certificate: operators.plant("certificate"),
      [operators.plant("field")]: 1,
    });
    await instance.awaitRecord(/host config not used/);
    await gatehouse.store.set(`proxy:${OPEN}`, `{"github_client_secret": ${operators.plant("broken JSON")}`);
    await instance.awaitRecord(/must be JSON/);
    await gatehouse.store.set(`cert:${OPEN}`, `{"private_key":"${operators.plant("stored key")}"}`);
    const { keyPath } = await gatehouse.authority.issue([OPEN]);
    await writeFile(keyPath, `-----BEGIN PRIVATE KEY-----\n${operators.plant("key file")}\n`);
    instance.signal("SIGHUP");
    await instance.awaitRecord(/certificate \(file\) not used/);
    const pages = await Promise.all(
      adminPorts.map(
        async (port) => await (await globalThis.fetch(`http://127.0.0.1:${port}/health`)).text(),
      ),
    );
    expect(pages.join("\n")).toContain("must be JSON");
    expect(secretsIn(pages.join("\n"))).toEqual([]);
    const unusable = {
      GATEHOUSE_SECRET_KEY: operators.plant("unusable secret key"),
      REDIS_URL: `http://user:${operators.plant("unusable Redis URL")}@127.0.0.1`,
      GATEHOUSE_HEADERS_TIMEOUT_MS: "soon",
    };
    await expect(
      gatehouse.addHost({ hostname: "third.localhost", upstreamUrl: upstream.url, env: unusable }),
    ).rejects.toThrow("GATEHOUSE_SECRET_KEY");
    const text = await until(
      async () => await written(since),
      (now) => now.includes("GATEHOUSE_HEADERS_TIMEOUT_MS"),
    );
    expect(text).toContain("GATEHOUSE_SECRET_KEY");
    expect(secretsIn(text)).toEqual([]);
  },
  TIMEOUT_MS,
);

test("and all of it once more, with what was learnt since", async () => {
  expect(canaries.size).toBeGreaterThan(1000);
  expect(secretsIn(await written())).toEqual([]);
  expect(secretsIn(await dumpText(bed.gatehouse.store, "log:*"))).toEqual([]);
});

test("the search finds what it looks for", () => {
  const search = new Canaries();
  const secret = search.plant("a secret");
  for (const text of [
    `x=${secret}`,
    secret.slice(0, 20),
    secret.slice(20),
    Buffer.from(`id:${secret}`).toString("base64"),
    Buffer.from(`{"a":"${secret}"}`).toString("base64url"),
  ])
    expect(search.findIn(`before ${text} behind`)).toHaveLength(1);
  expect(search.findIn("nothing of it")).toEqual([]);
});
