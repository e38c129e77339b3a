/** An access token's form, signature and claims (RFC 9068 section 4), checked without a store. */
import { createHmac, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import { readSignedToken, TOKEN_PROBLEMS } from "../src/oauth/signed-token.ts";

const ISSUER = "https://app.example";
const NOW = 1_800_000_000;
const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const other = generateKeyPairSync("rsa", { modulusLength: 2048 });
const TRUST = {
  issuer: ISSUER,
  now: NOW,
  keys: new Map([
    ["ours", publicKey],
    ["retired", other.publicKey],
  ]),
};

const HEADER = { alg: "RS256", typ: "at+jwt", kid: "ours" };
const CLAIMS = {
  iss: ISSUER,
  aud: [`${ISSUER}/mcp`],
  sub: "octocat",
  uid: "github:583231",
  client_id: "client_1",
  jti: "token-1",
  exp: NOW + 1,
  scope: "user mcp",
  email: "o@example.com",
};

function encoded(value: unknown): string {
  return Buffer.from(typeof value === "string" ? value : JSON.stringify(value)).toString("base64url");
}

function signed(input: string, key: KeyObject = privateKey): string {
  return `${input}.${sign("sha256", Buffer.from(input), key).toString("base64url")}`;
}

/** Signed with our key, whatever header and payload say. */
function token(payload: unknown = CLAIMS, header: unknown = HEADER): string {
  return signed(`${encoded(header)}.${encoded(payload)}`);
}

const read = (text: string): ReturnType<typeof readSignedToken> => readSignedToken(text, TRUST);

function without(name: keyof typeof CLAIMS): Record<string, unknown> {
  return Object.fromEntries(Object.entries(CLAIMS).filter(([key]) => key !== name));
}

test("the problems are a closed set, as records and challenges name them", () => {
  expect([...TOKEN_PROBLEMS]).toEqual([
    "malformed",
    "wrong_type",
    "wrong_algorithm",
    "unknown_key",
    "bad_signature",
    "wrong_issuer",
    "wrong_audience",
    "expired",
    "not_yet_valid",
    "revoked",
    "user_not_allowed",
  ]);
});

describe("a genuine token", () => {
  const READ = {
    jti: "token-1",
    sub: "octocat",
    uid: "github:583231",
    clientId: "client_1",
    scopes: ["user", "mcp"],
    email: "o@example.com",
    exp: NOW + 1,
    audience: [`${ISSUER}/mcp`],
  };

  test("is told as it is", () => {
    expect(read(token())).toEqual(READ);
    expect(read(token({ ...CLAIMS, extra: 1, nbf: NOW }))).toEqual(READ);
  });

  test("may have one audience as a text, extra spaces between scopes, neither scope nor e-mail", () => {
    expect(read(token({ ...CLAIMS, aud: ISSUER }))).toEqual({ ...READ, audience: [ISSUER] });
    expect(read(token({ ...CLAIMS, scope: " user  mcp " }))).toEqual(READ);
    expect(read(token(without("scope")))).toEqual({ ...READ, scopes: [] });
    expect(read(token(without("email")))).toEqual({ ...READ, email: null });
    expect(read(token({ ...CLAIMS, email: null }))).toEqual({ ...READ, email: null });
  });

  test.each(["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])("typ %s", (typ) => {
    expect(read(token(CLAIMS, { ...HEADER, typ }))).toEqual(READ);
  });

  test("of another key that is trusted", () => {
    const input = `${encoded({ ...HEADER, kid: "retired" })}.${encoded(CLAIMS)}`;
    expect(read(signed(input, other.privateKey))).toEqual(READ);
    expect(read(signed(input))).toEqual({ problem: "bad_signature" });
  });

  test("may be 8192 characters long, and no longer", () => {
    const padded = (length: number): string => {
      const spare = length - token({ ...CLAIMS, pad: "" }).length;
      const found = [...Array(4).keys()]
        .map((less) => token({ ...CLAIMS, pad: "x".repeat(Math.floor((spare * 3) / 4) + 1 - less) }))
        .find((text) => text.length === length);
      if (found === undefined) throw new TypeError(`no token of ${length} characters`);
      return found;
    };
    expect(read(padded(8192))).toEqual(READ);
    expect(read(padded(8193))).toEqual({ problem: "malformed" });
  });
});

describe("what is no token", () => {
  const [header = "", payload = "", signature = ""] = token().split(".");

  test.each([
    "",
    "a",
    "a.b",
    "a.b.c",
    `${header}.${payload}`,
    `${header}.${payload}.`,
    `.${payload}.${signature}`,
    `${header}..${signature}`,
    `${header}.${payload}.${signature}.`,
    `${header}.${payload}.${signature}=`,
    ` ${header}.${payload}.${signature}`,
    `${header}.${payload}.${signature}\n`,
    `x.${header}.${payload}.${signature}`,
    `${header}.${payload}.${signature}.x`,
    `${header.slice(0, 4)}+${header.slice(4)}.${payload}.${signature}`,
  ])("%#", (text) => {
    expect(read(text)).toEqual({ problem: "malformed" });
  });

  test.each([["[]"], ["null"], ["7"], ['"text"'], ["no JSON"], ["{"]])("a header that is %s", (text) => {
    expect(read(token(CLAIMS, text))).toEqual({ problem: "malformed" });
  });

  test.each([["[]"], ["null"], ["7"], ['"text"'], ["no JSON"]])("claims that are %s", (text) => {
    expect(read(token(text))).toEqual({ problem: "malformed" });
  });

  test("a header with crit, whatever it lists (RFC 7515 section 4.1.11)", () => {
    for (const crit of [["exp"], [], null])
      expect(read(token(CLAIMS, { ...HEADER, crit }))).toEqual({ problem: "malformed" });
  });
});

describe("another kind of token", () => {
  test.each([
    "JWT",
    "at+jwt2",
    "xat+jwt",
    "application/x-at+jwt",
    "xapplication/at+jwt",
    "",
    undefined,
    null,
    ["at+jwt"],
  ])("typ %j", (typ) => {
    expect(read(token(CLAIMS, { ...HEADER, typ }))).toEqual({ problem: "wrong_type" });
  });

  test.each(["none", "HS256", "RS512", "PS256", "rs256", "", undefined])("alg %j", (alg) => {
    expect(read(token(CLAIMS, { ...HEADER, alg }))).toEqual({ problem: "wrong_algorithm" });
  });

  test("HMAC with the public key (RFC 8725 section 2.1)", () => {
    const pem = publicKey.export({ type: "spki", format: "pem" });
    const hmac = (alg: string): string => {
      const input = `${encoded({ ...HEADER, alg })}.${encoded(CLAIMS)}`;
      return `${input}.${createHmac("sha256", pem).update(input).digest("base64url")}`;
    };
    expect(read(hmac("HS256"))).toEqual({ problem: "wrong_algorithm" });
    expect(read(hmac("RS256"))).toEqual({ problem: "bad_signature" });
  });

  test.each(["theirs", "", undefined, 7, ["ours"]])("kid %j", (kid) => {
    expect(read(token(CLAIMS, { ...HEADER, kid }))).toEqual({ problem: "unknown_key" });
  });
});

describe("a signature", () => {
  const [header = "", payload = "", signature = ""] = token().split(".");

  test("of another key, of other claims or another header, or cut", () => {
    for (const text of [
      signed(`${header}.${payload}`, other.privateKey),
      `${header}.${encoded({ ...CLAIMS, scope: "admin" })}.${signature}`,
      `${encoded({ ...HEADER, x: 1 })}.${payload}.${signature}`,
      `${header}.${payload}.${signature.slice(0, -4)}`,
    ]) {
      expect(read(text)).toEqual({ problem: "bad_signature" });
    }
  });

  test("has one spelling: the bits that decoders ignore are looked at", () => {
    // 256 octets are 342 characters, the last of which carries two bits of signature and four of nothing.
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const respelt = signature.slice(0, -1) + letters.charAt(letters.indexOf(signature.at(-1) ?? "") + 1);
    expect(Buffer.from(respelt, "base64url")).toEqual(Buffer.from(signature, "base64url"));
    expect(read(`${header}.${payload}.${respelt}`)).toEqual({ problem: "bad_signature" });
  });

  test("is checked before the claims are", () => {
    const expired = signed(`${header}.${encoded({ ...CLAIMS, exp: 1 })}`, other.privateKey);
    expect(read(expired)).toEqual({ problem: "bad_signature" });
  });
});

describe("claims", () => {
  test.each(["iss", "aud", "sub", "uid", "client_id", "jti", "exp"] as const)(
    "without %s, or with a wrong type there",
    (name) => {
      expect(read(token(without(name)))).toEqual({ problem: "malformed" });
      for (const value of [null, true, {}, [7]])
        expect(read(token({ ...CLAIMS, [name]: value }))).toEqual({ problem: "malformed" });
    },
  );

  test.each(["sub", "uid", "client_id", "jti"])("with an empty %s", (name) => {
    expect(read(token({ ...CLAIMS, [name]: "" }))).toEqual({ problem: "malformed" });
  });

  test.each([
    ["scope", 7],
    ["email", 7],
    ["nbf", "soon"],
    ["exp", "tomorrow"],
  ])("with %s %j", (name, value) => {
    expect(read(token({ ...CLAIMS, [name]: value }))).toEqual({ problem: "malformed" });
  });

  test.each([`${ISSUER}/`, "https://APP.example", "https://elsewhere.example", ""])("of issuer %j", (iss) => {
    expect(read(token({ ...CLAIMS, iss }))).toEqual({ problem: "wrong_issuer" });
  });

  test("end at their second, and begin at theirs", () => {
    expect(read(token({ ...CLAIMS, exp: NOW }))).toEqual({ problem: "expired" });
    expect(read(token({ ...CLAIMS, exp: NOW - 1 }))).toEqual({ problem: "expired" });
    expect(read(token({ ...CLAIMS, nbf: NOW + 1 }))).toEqual({ problem: "not_yet_valid" });
    expect(read(token({ ...CLAIMS, nbf: NOW }))).toMatchObject({ jti: "token-1" });
  });
});
