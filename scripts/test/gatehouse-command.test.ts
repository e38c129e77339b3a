import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { parseHostname } from "@gatehouse/shared/hostname";
import { closeRedis, openRedis } from "@gatehouse/shared/redis-connection";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import { openSigningKeys } from "@gatehouse/shared/signing-key-record";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";

const HOST = "simple-oauth.localhost";
const secretKey = newSecretKey();
let redis: PrivateRedis;

beforeAll(async () => {
  redis = await startPrivateRedis();
});
afterAll(async () => {
  await redis?.stop();
});

function gatehouse(
  args: readonly string[],
  env: Record<string, string> = {},
): { status: number | null; out: string; err: string } {
  const launcher = join(import.meta.dirname, "..", "gatehouse");
  const { status, stdout, stderr } = spawnSync(launcher, args, {
    encoding: "utf8",
    env: { PATH: process.env["PATH"], REDIS_URL: redis.url, GATEHOUSE_SECRET_KEY: secretKey, ...env },
  });
  return { status, out: stdout, err: stderr };
}

async function activeKid(): Promise<{ active: string; retired: string[] }> {
  const parsed = parseHostname(HOST);
  const sealing = parsed.ok ? SealingKeys.parse(secretKey, [])?.forHostname(parsed.hostname) : undefined;
  if (!parsed.ok || !sealing) throw new Error("unusable test key");
  const store = openRedis({ url: redis.url, clientName: "test" });
  await once(store, "ready");
  const keys = await openSigningKeys({ redis: store, hostname: parsed.hostname, sealing });
  await closeRedis(store);
  return { active: keys.active.kid, retired: keys.retired.map((key) => key.public.kid) };
}

describe("gatehouse key rotate", () => {
  test("makes a new active key and keeps the old one for verification", async () => {
    const before = await activeKid();
    const run = gatehouse(["key", "rotate", HOST, "--json"]);
    const after = await activeKid();
    expect([run.status, JSON.parse(run.out)]).toEqual([0, { hostname: HOST, kid: after.active }]);
    expect(after.retired).toEqual([before.active]);
    expect(gatehouse(["key", "rotate", HOST]).out).toMatch(
      /^simple-oauth\.localhost signs with \S+ from now on/,
    );
  });

  test("says what is wrong: no keys, another secret key, no host, no environment", () => {
    expect(gatehouse(["key", "rotate", "other.localhost"])).toMatchObject({
      status: 1,
      err: expect.stringContaining("holds no signing keys to rotate"),
    });
    const foreign = gatehouse(["key", "rotate", HOST], { GATEHOUSE_SECRET_KEY: newSecretKey() });
    expect([foreign.status, foreign.err]).toEqual([
      1,
      expect.stringContaining("sealed with another secret key"),
    ]);
    expect(gatehouse(["key", "rotate"])).toMatchObject({
      status: 2,
      err: expect.stringContaining("key rotate takes HOST"),
    });
    expect(gatehouse(["key", "rotate", HOST, "--force"]).status).toBe(2);
    const wrong = gatehouse(["key", "rotate", HOST], {
      REDIS_URL: "localhost:6379",
      GATEHOUSE_SECRET_KEY: "short",
    });
    expect([wrong.status, wrong.err]).toEqual([
      78,
      expect.stringMatching(/REDIS_URL: must be[\s\S]*GATEHOUSE_SECRET_KEY: must be/),
    ]);
    expect(wrong.err).not.toContain("short");
  });

  test("--help teaches; an unknown command is a usage error", () => {
    expect(gatehouse(["--help"])).toMatchObject({
      status: 0,
      out: expect.stringContaining("gatehouse key rotate"),
    });
    expect(gatehouse(["key", "rotate", "--help"])).toMatchObject({
      status: 0,
      out: expect.stringContaining("Example:"),
    });
    expect(gatehouse(["key", "frobnicate"]).status).toBe(2);
    expect(gatehouse([]).status).toBe(2);
  });
});

test.each([
  [["foo"], 'no command "foo".'],
  [["foo", "bar"], 'no command "foo bar".'],
])("%j is named as it was typed", (words, message) => {
  const { status, err } = gatehouse(words);
  expect([status, err]).toEqual([2, expect.stringContaining(message)]);
});
