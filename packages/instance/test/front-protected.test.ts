import type { lookup } from "node:dns";
import { once } from "node:events";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { parseHostname } from "@gatehouse/shared/hostname";
import { SealingKeys } from "@gatehouse/shared/sealing";
import { rotateSigningKeys } from "@gatehouse/shared/signing-key-record";
import { until } from "@gatehouse/testbed/until";
import { HOSTNAME, openBed, statusOf, type Bed, type Front } from "./support/front-bed.ts";

const APP = { GITHUB_CLIENT_ID: "Iv1.test", GITHUB_CLIENT_SECRET: "s3cret" };
const PROTECTED = { auth_enabled: true, auth_required_users: ["*"] };
const METADATA = "/.well-known/oauth-authorization-server";
const UPGRADE =
  `GET /mcp HTTP/1.1\r\nHost: ${HOSTNAME}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

let bed: Bed;

beforeAll(async () => {
  bed = await openBed();
});

afterEach(async () => {
  await bed.store.del(`oauth:key:${HOSTNAME}`);
  await bed.configure();
});

afterAll(async () => {
  await bed.close();
});

async function statusBecomes(front: Front, status: number, path = "/mcp"): Promise<void> {
  await until(async () => (await front.get(path)).status === status);
}

async function keyIds(front: Front): Promise<string[]> {
  const { keys } = JSON.parse((await front.get("/jwks")).body) as { keys: { kid: string }[] };
  return keys.map(({ kid }) => kid);
}

describe("a protected host", () => {
  test("answers its endpoints and metadata itself, and everything else with a challenge", async () => {
    await bed.configure(PROTECTED);
    const front = await bed.start(APP);
    const seen = bed.upstream.seen.length;
    expect(JSON.parse((await front.get(METADATA)).body)).toMatchObject({ issuer: `https://${HOSTNAME}` });
    expect(JSON.parse((await front.get("/.well-known/oauth-protected-resource/mcp")).body)).toMatchObject({
      resource: `https://${HOSTNAME}/mcp`,
      authorization_servers: [`https://${HOSTNAME}`],
    });
    for (const path of ["/.well-known/oauth-client", "/.well-known/openid-federation"])
      expect((await front.get(path)).status).toBe(404);
    const uid = "V1StGXR8_Z5jdHi6B-my".repeat(3).slice(0, 43);
    expect((await front.get(`/authorize/${uid}`)).status).toBe(400);
    for (const path of ["/authorize/foo", `/authorize/${uid}x`, `/authorize/${uid}/x`, "/authorize/"])
      expect((await front.get(path)).status).toBe(401);
    for (const path of ["/", "/mcp", "/mcp/x", "/health", "/.well-known/security.txt"])
      expect((await front.get(path)).status).toBe(401);
    expect(await front.raw(UPGRADE)).toMatch(
      /^HTTP\/1\.1 401 .*\r\nWWW-Authenticate: Bearer scope="mcp", resource_metadata="https:/is,
    );
    expect(bed.upstream.seen).toHaveLength(seen);
  });

  test("names an unusual public port in all its URLs", async () => {
    await bed.configure(PROTECTED);
    const front = await bed.start({ ...APP, GATEHOUSE_PUBLIC_PORT: "8443" });
    const answer = await front.raw(`GET ${METADATA} HTTP/1.1\r\nHost: ${HOSTNAME}:8443\r\n\r\n`);
    const urls = answer.match(/https:\/\/[^/"]+/g) ?? [];
    expect(urls.length).toBeGreaterThan(5);
    expect(new Set(urls)).toEqual(new Set([`https://${HOSTNAME}:8443`]));
  });

  test("takes nothing from an open one: the same paths are the upstream's there", async () => {
    const front = await bed.start(APP);
    for (const path of [METADATA, "/authorize", "/token", "/jwks", "/.well-known/oauth-protected-resource"])
      expect(await front.get(path)).toEqual({ status: 200, body: `upstream ${path}` });
  });
});

describe("auth_enabled switched while it runs", () => {
  test("on and off again, within a second, and not one request is served openly once it is on", async () => {
    const front = await bed.start(APP);
    for (let round = 0; round < 3; round += 1) {
      const answers: { began: number; ended: number; status: number }[] = [];
      const enough = new AbortController();
      const hammers = Array.from({ length: 4 }, async () => {
        while (!enough.signal.aborted) {
          const began = performance.now();
          const { status } = await front.get("/mcp");
          answers.push({ began, ended: performance.now(), status });
        }
      });
      const switched = performance.now();
      await bed.configure(PROTECTED);
      await statusBecomes(front, 401);
      expect(performance.now() - switched).toBeLessThan(1000);
      await until(() => answers.filter(({ status }) => status === 401).length > 50);
      enough.abort();
      await Promise.all(hammers);
      // From the first refusal on the config is known to be in force.
      const inForce = answers.find(({ status }) => status !== 200)?.ended ?? 0;
      const since = answers.filter(({ began }) => began > inForce).map(({ status }) => status);
      expect(since.length).toBeGreaterThan(20);
      expect(since).not.toContain(200);
      const opened = performance.now();
      await bed.configure();
      await statusBecomes(front, 200);
      expect(performance.now() - opened).toBeLessThan(1000);
    }
  });

  test.each([
    ["a host that never was protected", false],
    ["a host that was protected before", true],
  ])("ends the streams that %s had opened", async (_which, wasProtected) => {
    const front = await bed.start(APP);
    if (wasProtected) {
      await bed.configure(PROTECTED);
      await statusBecomes(front, 401);
      await bed.configure();
      await statusBecomes(front, 200);
    }
    bed.upstream.answers.set("/stream", (_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 1\n\n");
    });
    const socket = await front.connect({ ALPNProtocols: ["http/1.1"] });
    socket.write(`GET /stream HTTP/1.1\r\nHost: ${HOSTNAME}\r\n\r\n`);
    let text = "";
    socket.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await until(() => text.includes("data: 1"));
    const switched = performance.now();
    await bed.configure(PROTECTED);
    await until(() => text.endsWith("0\r\n\r\n"));
    expect(performance.now() - switched).toBeLessThan(1000);
    socket.destroy();
  });

  test("keeps the keys over every change", async () => {
    await bed.configure(PROTECTED);
    const front = await bed.start(APP);
    const before = await keyIds(front);
    await bed.configure();
    await statusBecomes(front, 200);
    await bed.configure(PROTECTED);
    await statusBecomes(front, 401);
    expect(await keyIds(front)).toEqual(before);
  });
});

test("signing keys that are rotated are in use within a second, the old one verifies on", async () => {
  await bed.configure(PROTECTED);
  const front = await bed.start(APP);
  const [before = ""] = await keyIds(front);
  const parsed = parseHostname(HOSTNAME);
  const sealing = SealingKeys.parse(bed.secretKey, []);
  if (!parsed.ok || sealing === undefined) throw new TypeError("no place to rotate in");
  const { hostname } = parsed;
  const own = sealing.forHostname(hostname);
  if (own === undefined) throw new TypeError("keys of another host");
  const kid = await rotateSigningKeys({ redis: bed.store, hostname, sealing: own }, 1800);
  const rotated = performance.now();
  await until(async () => (await keyIds(front)).length === 2);
  expect(performance.now() - rotated).toBeLessThan(1000);
  expect(await keyIds(front)).toEqual([kid, before]);
});

describe("metadata documents of clients", () => {
  const NAME = "client.example";

  test.each([
    ["are not fetched from this machine by default", {}, 400],
    ["are fetched as the surroundings of the process say", { isAllowedAddress: () => true }, 303],
  ])("%s", async (_how, policy, status) => {
    const { certPem, keyPem } = await bed.authority.issue([NAME]);
    const site = createServer({ cert: certPem, key: keyPem }, (request, response) => {
      response.setHeader("content-type", "application/json");
      response.end(
        JSON.stringify({
          client_id: `https://${NAME}:${(site.address() as AddressInfo).port}${request.url}`,
          client_name: "Documented",
          redirect_uris: ["https://client.example/callback"],
          token_endpoint_auth_method: "none",
        }),
      );
    });
    site.listen(0, "127.0.0.1");
    await once(site, "listening");
    await bed.configure(PROTECTED);
    const front = await bed.start(APP, {
      documents: { ...policy, lookup: toLoopback, ca: bed.authority.caPem },
    });
    const query = new URLSearchParams({
      response_type: "code",
      client_id: `https://${NAME}:${(site.address() as AddressInfo).port}/client.json`,
      redirect_uri: "https://client.example/callback",
      code_challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
      code_challenge_method: "S256",
      state: "st-1",
    });
    expect((await front.get(`/authorize?${query.toString()}`)).status).toBe(status);
    site.closeAllConnections();
    site.close();
  });

  const toLoopback = ((_name: string, _options: unknown, found: (...answer: unknown[]) => void) =>
    found(null, [{ address: "127.0.0.1", family: 4 }])) as unknown as typeof lookup;
});

describe("what is incomplete is refused as a whole, never served openly", () => {
  test("no GitHub app: the health page and one record say so, and a config with an app opens it", async () => {
    await bed.configure({ ...PROTECTED, auth_excluded_paths: ["/*"] });
    const front = await bed.start();
    for (const path of ["/", "/mcp", METADATA, "/jwks"]) expect((await front.get(path)).status).toBe(503);
    const { problem } = (await front.health()).report["authorization"] as { problem: string };
    expect(problem).toMatch(/there is no GitHub OAuth app/);
    await front.record(
      ({ event, message }) => event === "oauth_failed" && message?.includes(problem) === true,
    );
    await bed.configure({ ...PROTECTED, github_client_id: "Iv1.own", github_client_secret: "s3cret" });
    await statusBecomes(front, 401);
    expect((await front.health()).report["authorization"]).toEqual({ state: "ready" });
    await bed.configure(PROTECTED);
    await statusBecomes(front, 503);
  });

  test("half a GitHub app ends the start", async () => {
    await expect(bed.start({ GITHUB_CLIENT_ID: "Iv1.test" })).rejects.toThrow(
      /GITHUB_CLIENT_SECRET: must be given/,
    );
  });

  test.each([
    ["GITHUB_URL", "http://github.example"],
    ["GITHUB_API_URL", "ftp://api.github.example"],
    ["GATEHOUSE_REDIRECT_SCHEMES", "cursor:,javascript:"],
    ["GATEHOUSE_ACCESS_TOKEN_SECONDS", "0"],
  ])("%s=%s ends the start", async (name, value) => {
    await expect(bed.start({ ...APP, [name]: value })).rejects.toThrow(name);
  });

  test("signing keys that can't be opened: until others stand in Redis", async () => {
    await bed.store.set(`oauth:key:${HOSTNAME}`, "{}");
    await bed.configure(PROTECTED);
    const front = await bed.start(APP);
    expect((await front.get("/mcp")).status).toBe(503);
    await front.record(
      ({ event, message }) => event === "oauth_failed" && /signing keys/.test(message ?? ""),
    );
    await bed.store.del(`oauth:key:${HOSTNAME}`);
    await statusBecomes(front, 401);
  });
});

describe("without Redis", () => {
  const away = "unix:///nonexistent/redis.sock";

  test("a start has its signing keys from the snapshot; what needs Redis answers 503", async () => {
    const env = { ...APP, GATEHOUSE_STATE_DIR: join(bed.directory, "protected") };
    await bed.configure(PROTECTED);
    const first = await bed.start(env);
    const before = await keyIds(first);
    await first.stop();
    const again = await bed.start({ ...env, REDIS_URL: away });
    expect((await again.get("/mcp")).status).toBe(401);
    expect(await keyIds(again)).toEqual(before);
    expect(
      statusOf(
        await again.raw(
          `POST /register HTTP/1.1\r\nHost: ${HOSTNAME}\r\nContent-Type: application/json\r\nContent-Length: 46\r\n\r\n{"redirect_uris":["https://client.example/c"]}`,
        ),
      ),
    ).toBe(503);
  });

  test("a start that has no usable signing keys refuses, and opens by itself when Redis is back", async () => {
    const env = { ...APP, GATEHOUSE_STATE_DIR: join(bed.directory, "no-keys") };
    await bed.store.set(`oauth:key:${HOSTNAME}`, "{}");
    await bed.configure(PROTECTED);
    await (await bed.start(env)).stop();
    await bed.redis.kill("SIGKILL");
    const front = await bed.start(env);
    expect((await front.get("/mcp")).status).toBe(503);
    await bed.redis.restart();
    await until(async () => (await bed.store.del(`oauth:key:${HOSTNAME}`).catch(() => -1)) >= 0);
    await bed.configure(PROTECTED);
    await statusBecomes(front, 401);
  });
});
