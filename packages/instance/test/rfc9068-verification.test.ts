import { createPublicKey, createSecretKey, generateKeyPairSync } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { SignJWT } from "jose";
import { rotateSigningKeys } from "@gatehouse/shared/signing-key-record";
import { signingKeyKey, tokenKey } from "@gatehouse/shared/redis-keys";
import { ENDPOINT, ORIGIN, otherKey, parseChallenge, ProtectedHost } from "./support/protected-host.ts";

let host: ProtectedHost;
beforeAll(async () => {
  host = await ProtectedHost.start();
});
afterAll(async () => {
  await host.stop();
});

/** Status and the word in the record. */
async function verdict(token: string): Promise<[status: number, reason: string | undefined]> {
  host.records.length = 0;
  const { status } = await host.ask("/mcp", { token });
  return [status, (await host.lastRecord(1)).reason];
}

const now = (): number => Math.floor(Date.now() / 1000);

describe("RFC 9068 section 4: what is accepted", () => {
  test.each([
    ["the endpoint as audience", { claims: { aud: [ENDPOINT] } }],
    ["the origin as audience", { claims: { aud: [ORIGIN] } }],
    ["an audience that is no list", { claims: { aud: ENDPOINT } }],
    ["another audience besides", { claims: { aud: ["https://elsewhere.example", ENDPOINT] } }],
    ["the long form of typ", { header: { typ: "application/at+jwt" } }],
    ["typ in capitals", { header: { typ: "AT+JWT" } }],
    ["no e-mail", { email: null }],
    ["claims nobody knows", { claims: { extra: { a: 1 } } }],
  ])("%s", async (_name, wanted) => {
    expect((await verdict(await host.mint(wanted)))[0]).toBe(200);
  });
});

describe("RFC 9068 section 4: what is refused, with 401 invalid_token", () => {
  test.each([
    ["typ JWT", { header: { typ: "JWT" } }, "wrong_type"],
    ["no typ", { header: { typ: undefined } }, "wrong_type"],
    ["another issuer", { claims: { iss: "https://elsewhere.example" } }, "wrong_issuer"],
    ["the issuer with a slash", { claims: { iss: `${ORIGIN}/` } }, "wrong_issuer"],
    ["another audience", { claims: { aud: ["https://elsewhere.example/mcp"] } }, "wrong_audience"],
    ["an audience below ours", { claims: { aud: [`${ENDPOINT}/below`] } }, "wrong_audience"],
    ["no audience", { claims: { aud: undefined } }, "malformed"],
    ["an end in the past", { claims: { exp: now() - 1 } }, "expired"],
    ["no end", { claims: { exp: undefined } }, "malformed"],
    ["an end that is no number", { claims: { exp: "tomorrow" } }, "malformed"],
    ["a beginning in the future", { claims: { nbf: now() + 600 } }, "not_yet_valid"],
    ["no jti", { claims: { jti: undefined } }, "malformed"],
    ["no sub", { claims: { sub: undefined } }, "malformed"],
    ["no uid", { claims: { uid: undefined } }, "malformed"],
    ["no client_id", { claims: { client_id: undefined } }, "malformed"],
    ["no kid", { header: { kid: undefined } }, "unknown_key"],
    ["an unknown kid", { header: { kid: "none-of-ours" } }, "unknown_key"],
    ["no record", { isRecorded: false }, "revoked"],
  ])("%s", async (_name, wanted, problem) => {
    const [status, reason] = await verdict(await host.mint(wanted));
    expect(status).toBe(401);
    expect(reason).toMatch(new RegExp(`^invalid_token: ${problem} \\(`));
  });

  test("another key under our kid", async () => {
    expect(await verdict(await host.mint({ key: otherKey() }))).toEqual([
      401,
      "invalid_token: bad_signature (RFC 9068 4)",
    ]);
  });

  test("a changed payload, a cut signature, another spelling of the signature", async () => {
    const [header = "", payload = "", signature = ""] = (await host.mint()).split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
    const forged = Buffer.from(JSON.stringify({ ...claims, scope: "admin" })).toString("base64url");
    // The last character of 256 octets carries two bits that decoders ignore.
    const last = signature.at(-1) ?? "";
    const respelt =
      signature.slice(0, -1) + (last === "A" ? "B" : String.fromCharCode(last.charCodeAt(0) + 1));
    for (const text of [
      `${header}.${forged}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -4)}`,
      `${header}.${payload}.${respelt}`,
    ]) {
      expect((await verdict(text))[1]).toMatch(/^invalid_token: (?:bad_signature|malformed) /);
    }
  });

  test.each(["", "abc", "a.b", "a.b.c", "a.b.c.d", "e30.e30.", `e30.e30.${"A".repeat(9000)}`])(
    "what is no token at all: %p",
    async (text) => {
      const { status } = await host.ask("/mcp", { token: text });
      expect(status).toBe(text === "" ? 400 : 401);
    },
  );

  test("none, HS256 with the public key, ES256 and RS512 (RFC 8725 sections 2.1, 3.1)", async () => {
    const { active } = host.keys.current;
    const base = await host.mint();
    const [, payload = ""] = base.split(".");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as Record<string, unknown>;
    const none = Buffer.from(JSON.stringify({ alg: "none", typ: "at+jwt", kid: active.kid })).toString(
      "base64url",
    );
    const publicPem = createPublicKey(active.privateKey).export({ type: "spki", format: "pem" });
    const hmac = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", typ: "at+jwt", kid: active.kid })
      .sign(createSecretKey(Buffer.from(publicPem)));
    const ec = await new SignJWT(claims)
      .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid: active.kid })
      .sign(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
    const rs512 = await new SignJWT(claims)
      .setProtectedHeader({ alg: "RS512", typ: "at+jwt", kid: active.kid })
      .sign(active.privateKey);
    for (const token of [`${none}.${payload}.AA`, hmac, ec, rs512]) {
      expect(await verdict(token)).toEqual([401, "invalid_token: wrong_algorithm (RFC 8725 3.1)"]);
    }
    expect((await host.ask("/mcp", { token: `${none}.${payload}.` })).status).toBe(401);
  });

  test("a header with crit, or with a key of its own (RFC 7515 section 4.1.11)", async () => {
    const [, payload = "", signature = ""] = (await host.mint()).split(".");
    const { active } = host.keys.current;
    const header = Buffer.from(
      JSON.stringify({ alg: "RS256", typ: "at+jwt", kid: active.kid, crit: ["exp"] }),
    ).toString("base64url");
    expect((await verdict(`${header}.${payload}.${signature}`))[1]).toMatch(/malformed/);
    const own = otherKey();
    const jwk = createPublicKey(own).export({ format: "jwk" });
    expect((await verdict(await host.mint({ key: own, header: { jwk, kid: "mine" } })))[1]).toMatch(
      /unknown_key/,
    );
  });

  test("a record that another hostname wrote", async () => {
    const jti = "shared-jti";
    const token = await host.mint({ claims: { jti } });
    const record = JSON.parse((await host.redis.get(tokenKey(jti))) ?? "{}") as object;
    await host.redis.set(tokenKey(jti), JSON.stringify({ ...record, hostname: "other.example" }));
    expect((await verdict(token))[1]).toBe("invalid_token: revoked (RFC 6750 3.1)");
  });

  test("the client reads why", async () => {
    const answer = await host.ask("/mcp", { token: await host.mint({ claims: { exp: now() - 5 } }) });
    expect(parseChallenge(answer.headers["www-authenticate"]).parameters["error_description"]).toBe(
      "The access token expired",
    );
  });
});

test("after a rotation, tokens of the retired key go on, and those of the new one are good at once", async () => {
  const old = await host.mint();
  const place = { redis: host.redis, hostname: host.name, sealing: host.sealing };
  await rotateSigningKeys(place, 1800);
  host.keys.told(await host.redis.get(signingKeyKey(host.name)));
  expect((await verdict(old))[0]).toBe(200);
  const fresh = await host.mint();
  expect(fresh.split(".")[0]).not.toBe(old.split(".")[0]);
  expect((await verdict(fresh))[0]).toBe(200);
});
