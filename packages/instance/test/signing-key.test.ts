import { once } from "node:events";
import { decodeProtectedHeader } from "jose";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { closeRedis, openRedis } from "@gatehouse/shared/redis-connection";
import { signingKeyKey } from "@gatehouse/shared/redis-keys";
import { newSecretKey, SealingKeys } from "@gatehouse/shared/sealing";
import {
  openSigningKeys,
  rotateSigningKeys,
  SigningKeyError,
  type SigningKeyPlace,
} from "@gatehouse/shared/signing-key-record";
import { startPrivateRedis, type PrivateRedis } from "@gatehouse/testbed/private-redis";
import { until } from "@gatehouse/testbed/until";
import { FollowedKeys } from "../src/followed-keys.ts";
import { SigningKeyRing } from "../src/oauth/signing-key.ts";
import { Harness, hostname } from "./support/authorization-server-harness.ts";

let store: PrivateRedis;
let redis: ReturnType<typeof openRedis>;
beforeAll(async () => {
  store = await startPrivateRedis();
  redis = openRedis({ url: store.url, clientName: "keys" });
  await once(redis, "ready");
});
afterAll(async () => {
  await closeRedis(redis);
  await store.stop();
});

function place(name: string, secret = newSecretKey()): SigningKeyPlace {
  const host = hostname(name);
  const sealing = SealingKeys.parse(secret, [])?.forHostname(host);
  if (sealing === undefined) throw new TypeError("bad secret");
  return { redis, hostname: host, sealing };
}

describe("signing keys", () => {
  test("of two instances that start at once are the same", async () => {
    const one = place("twice.example.com");
    const keys = await Promise.all(Array.from({ length: 4 }, async () => await openSigningKeys(one)));
    expect(new Set(keys.map(({ active }) => active.kid)).size).toBe(1);
    expect(await redis.ttl(signingKeyKey(one.hostname))).toBe(-1);
  });

  test("stand in Redis sealed: the document holds no private key", async () => {
    const one = place("sealed.example.com");
    const { active, text } = await openSigningKeys(one);
    expect(text).not.toContain("PRIVATE KEY");
    const { d = "" } = active.privateKey.export({ format: "jwk" });
    expect(text).not.toContain(d);
  });

  test("of another hostname, or sealed with another secret, are refused and never replaced", async () => {
    const one = place("mine.example.com");
    const { text } = await openSigningKeys(one);
    await expect(openSigningKeys({ ...place("mine.example.com"), redis })).rejects.toThrow(SigningKeyError);
    const other = place("other.example.com");
    await redis.set(signingKeyKey(other.hostname), text);
    await expect(openSigningKeys(other)).rejects.toThrow(SigningKeyError);
    expect(await redis.get(signingKeyKey(one.hostname))).toBe(text);
  });

  test("rotate: the old one verifies until its tokens ended, then goes", async () => {
    const one = place("rotated.example.com");
    const ring = await SigningKeyRing.open(one);
    const before = ring.current.active.kid;
    const kid = await rotateSigningKeys(one, 1800);
    ring.told(await redis.get(ring.key));
    expect(ring.current.active.kid).toBe(kid);
    expect(ring.current.public.map((key) => key.kid)).toEqual([kid, before]);
    const document = JSON.parse((await redis.get(ring.key)) ?? "");
    const left = document.retired[0].expires_at - Date.now() / 1000;
    expect(left).toBeGreaterThan(1800);
    expect(left).toBeLessThan(1900);
    // As if half an hour had passed.
    document.retired[0].expires_at -= 2000;
    ring.told(JSON.stringify(document));
    expect(ring.current.public.map((key) => key.kid)).toEqual([kid]);
  });

  test("two rotations at one moment: one of them is told", async () => {
    const one = place("contested.example.com");
    await openSigningKeys(one);
    const results = await Promise.allSettled([rotateSigningKeys(one, 1800), rotateSigningKeys(one, 1800)]);
    const won = results.filter(({ status }) => status === "fulfilled");
    expect(won.length).toBeGreaterThanOrEqual(1);
    const keys = await openSigningKeys(one);
    expect(keys.retired).toHaveLength(won.length);
  });

  test("a start without Redis uses the copy", async () => {
    const one = place("copied.example.com");
    const { text, active } = await openSigningKeys(one);
    const away = openRedis({ url: "unix:///nonexistent/redis.sock", clientName: "away" });
    const ring = await SigningKeyRing.open({ ...one, redis: away, copy: text });
    expect(ring.current.active.kid).toBe(active.kid);
    await expect(SigningKeyRing.open({ ...one, redis: away, copy: null })).rejects.toThrow(/./);
    await closeRedis(away);
  });
});

describe("a rotation under way", () => {
  test("old tokens go on being known, new ones carry the new key", async () => {
    const host = await Harness.start();
    const followed = new FollowedKeys({
      url: host.store.url,
      hostname: host.hostname,
      log: { write: () => undefined, isEnabled: () => false },
      keys: new Map([[host.server.signingKeys.key, (text) => host.server.signingKeysTold(text)]]),
    });
    followed.start();
    await followed.whenRead;
    const flow = await host.tokens();
    const old = flow.answer.json["access_token"];
    const sealing = SealingKeys.parse(host.secret, [])?.forHostname(host.hostname);
    if (sealing === undefined) throw new TypeError("bad secret");
    const kid = await rotateSigningKeys({ redis: host.redis, hostname: host.hostname, sealing }, 1800);
    await until(() => host.server.signingKeys.current.active.kid === kid);
    const { client_id = "" } = flow.form;
    expect((await host.post("/introspect", { client_id, token: old })).json["active"]).toBe(true);
    const refreshed = await host.post("/token", flow.refresh(flow.answer.json["refresh_token"]));
    expect(decodeProtectedHeader(refreshed.json["access_token"]).kid).toBe(kid);
    expect((await host.request("/jwks")).json["keys"]).toHaveLength(2);
    expect(host.records.map(({ event }) => event)).toContain("signing_key_changed");
    // A document that can't be used is said once and changes nothing.
    await host.redis.set(signingKeyKey(host.hostname), "{}");
    await until(() => host.records.some(({ event }) => event === "signing_key_bad"));
    expect(host.server.signingKeys.current.active.kid).toBe(kid);
    await followed.close();
    await host.stop();
  });
});
