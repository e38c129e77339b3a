import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { TokenVerifier } from "../src/oauth/access-token.ts";
import { LiveTokens } from "../src/oauth/live-tokens.ts";
import { rotateSigningKeys } from "@gatehouse/shared/signing-key-record";
import { signingKeyKey, tokenKey } from "@gatehouse/shared/redis-keys";
import { ORIGIN, ProtectedHost } from "./support/protected-host.ts";

let host: ProtectedHost;
let verifier: TokenVerifier;
beforeAll(async () => {
  host = await ProtectedHost.start();
});
afterAll(async () => {
  await host.stop();
});
beforeEach(() => {
  verifier = open();
  verifier.start();
});
afterEach(async () => {
  await verifier.close();
});

function open(options: { maxTokens?: number } = {}): TokenVerifier {
  return new TokenVerifier({
    issuer: ORIGIN,
    keys: host.keys,
    live: (listeners) => new LiveTokens({ url: host.store.url, hostname: host.name, ...listeners }),
    onRevoked: () => undefined,
    ...options,
  });
}

/** Reads of keys that the server has carried out. */
async function reads(): Promise<number> {
  const stats = await host.redis.info("commandstats");
  return [...stats.matchAll(/cmdstat_(?:get|exists|mget):calls=(\d+)/g)].reduce(
    (sum, [, n]) => sum + Number(n),
    0,
  );
}

function isGood(verdict: object): boolean {
  return "jti" in verdict;
}

describe("a token that was seen", () => {
  test("is decided at once, without a promise, without a round trip", async () => {
    const token = await host.mint();
    expect(verifier.verify(token)).toBeInstanceOf(Promise);
    expect(isGood(await verifier.verify(token))).toBe(true);
    const before = await reads();
    for (let i = 0; i < 1000; i += 1) expect(verifier.verify(token)).not.toBeInstanceOf(Promise);
    expect(await reads()).toBe(before);
  });

  test("costs no Redis command over HTTP either, session included", async () => {
    const token = await host.mint();
    host.answers.set("/mcp", (_request, response) => {
      response.writeHead(200, { "mcp-session-id": "s-1" });
      response.end();
    });
    const headers = { "mcp-session-id": "s-1" };
    await host.ask("/mcp", { token });
    await host.ask("/mcp", { token, headers });
    const before = await reads();
    for (let i = 0; i < 20; i += 1) expect((await host.ask("/mcp", { token, headers })).status).toBe(200);
    expect(await reads()).toBe(before);
    host.answers.clear();
  });

  test("is asked for once, however many requests wait for it", async () => {
    const token = await host.mint();
    await verifier.verify(await host.mint());
    const before = await reads();
    const verdicts = await Promise.all(Array.from({ length: 50 }, async () => await verifier.verify(token)));
    expect(verdicts.every(isGood)).toBe(true);
    expect((await reads()) - before).toBe(2);
  });

  test("dies at its end, to the second", async () => {
    const token = await host.mint({ lifetime: 2 });
    expect(isGood(await verifier.verify(token))).toBe(true);
    const deadline = Date.now() + 5000;
    while (isGood(await verifier.verify(token)) && Date.now() < deadline) await tick();
    expect(await verifier.verify(token)).toEqual({ problem: "expired" });
    expect(verifier.size).toBe(0);
  });

  test("is not remembered as text", async () => {
    const token = await host.mint();
    await verifier.verify(token);
    expect(JSON.stringify(await verifier.verify(token))).not.toContain(token.slice(-40));
  });
});

describe("a token in a crowd that was not seen before", () => {
  test("costs its share of a few commands", async () => {
    const tokens = await Promise.all(Array.from({ length: 400 }, () => host.mint()));
    await verifier.verify(await host.mint());
    const before = await reads();
    const verdicts = await Promise.all(tokens.map(async (token) => await verifier.verify(token)));
    expect(verdicts.every(isGood)).toBe(true);
    expect((await reads()) - before).toBeLessThanOrEqual(4);
  });
});

describe("what is remembered", () => {
  test("is bounded: a token that is not in use goes first", async () => {
    const small = open({ maxTokens: 4 });
    small.start();
    const [used = "", idle = "", last = "", ...others] = await Promise.all(
      Array.from({ length: 5 }, () => host.mint()),
    );
    for (const token of [used, idle, ...others]) await small.verify(token);
    expect(small.verify(used)).not.toBeInstanceOf(Promise);
    await small.verify(last);
    expect(small.size).toBe(4);
    for (const token of [used, last, ...others]) expect(small.verify(token)).not.toBeInstanceOf(Promise);
    expect(small.verify(idle)).toBeInstanceOf(Promise);
    await small.verify(idle);
    await small.close();
  });

  test("is never a refusal: a record that comes late makes its token good", async () => {
    const token = await host.mint({ claims: { jti: "late" }, isRecorded: false });
    expect(await verifier.verify(token)).toEqual({ problem: "revoked" });
    expect(await verifier.verify("a.b.c")).toEqual({ problem: "malformed" });
    expect(verifier.size).toBe(0);
    const now = Math.floor(Date.now() / 1000);
    await host.record({
      iss: ORIGIN,
      sub: "octocat",
      uid: "github:583231",
      aud: ORIGIN,
      client_id: "client_VSMC7orqn6WQoElOov-Zvw",
      scope: "mcp",
      jti: "late",
      iat: now,
      exp: now + 60,
      email: null,
    });
    expect(isGood(await verifier.verify(token))).toBe(true);
  });

  test("is emptied when the keys change", async () => {
    const token = await host.mint();
    await verifier.verify(token);
    expect(verifier.size).toBe(1);
    await rotateSigningKeys({ redis: host.redis, hostname: host.name, sealing: host.sealing }, 1800);
    host.keys.told(await host.redis.get(signingKeyKey(host.name)));
    expect(verifier.size).toBe(0);
    expect(isGood(await verifier.verify(token))).toBe(true);
  });

  test("can't be outrun by a revocation on its way: deletions at every step of the question", async () => {
    await verifier.verify(await host.mint());
    for (let i = 0; i < 120; i += 1) {
      const jti = `race-${i}`;
      const token = await host.mint({ claims: { jti } });
      const first = verifier.verify(token);
      for (let turn = 0; turn < i % 12; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      await host.redis.del(tokenKey(jti));
      await first;
      const deadline = Date.now() + 5000;
      while (isGood(await verifier.verify(token)) && Date.now() < deadline) await tick();
      expect(await verifier.verify(token)).toEqual({ problem: "revoked" });
    }
  });
});

describe("Redis away (contract section 3)", () => {
  test("seen tokens stay good, unseen ones are good by their signature, and nothing waits", async () => {
    const seen = await host.mint();
    const unseen = await host.mint();
    const foreign = await host.mint({ claims: { iss: "https://elsewhere.example" } });
    const revoked = await host.mint({ isRecorded: false });
    await verifier.verify(seen);
    await host.store.kill("SIGSTOP");
    try {
      expect(isGood(await verifier.verify(seen))).toBe(true);
      expect(isGood(await verifier.verify(unseen))).toBe(true);
      expect(isGood(await verifier.verify(revoked))).toBe(true);
      expect(await verifier.verify(foreign)).toEqual({ problem: "wrong_issuer" });
      const started = performance.now();
      expect(isGood(await verifier.verify(unseen))).toBe(true);
      expect(performance.now() - started).toBeLessThan(500);
    } finally {
      await host.store.kill("SIGCONT");
    }
    const deadline = Date.now() + 15_000;
    while (isGood(await verifier.verify(revoked)) && Date.now() < deadline) await tick();
    expect(await verifier.verify(revoked)).toEqual({ problem: "revoked" });
    expect(isGood(await verifier.verify(unseen))).toBe(true);
  }, 30_000);

  test("a process that starts meanwhile serves by signature as well", async () => {
    const token = await host.mint();
    const lost = new TokenVerifier({
      issuer: ORIGIN,
      keys: host.keys,
      live: (listeners) =>
        new LiveTokens({ url: "unix:///nowhere/redis.sock", hostname: host.name, ...listeners }),
      onRevoked: () => undefined,
    });
    lost.start();
    expect(isGood(await lost.verify(token))).toBe(true);
    await lost.close();
  });
});

async function tick(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5));
}
