import { createPrivateKey, generateKeyPair, hash, type JsonWebKey, type KeyObject } from "node:crypto";
import { promisify } from "node:util";
import type { RedisClient } from "./redis-connection.ts";
import * as z from "zod";
import type { Hostname } from "./hostname.ts";
import { parseRecord, readRecord, replaceRecord } from "./oauth-record.ts";
import { signingKeyKey } from "./redis-keys.ts";
import type { SealingKeys } from "./sealing.ts";
import { readText } from "./stored-text.ts";

/** Enough until 2030 and beyond by NIST SP 800-57 part 1; RS256 is what RFC 9068 section 2.1 requires everyone to read. */
const MODULUS_BITS = 2048;

/** Seconds a retired key outlives its last token: an instance learns of a rotation within one, clocks differ by a few. */
const RETIREMENT_LEEWAY_SECONDS = 60;

const publicJwkSchema = z.object({
  kty: z.literal("RSA"),
  n: z.string(),
  e: z.string(),
  kid: z.string(),
  alg: z.literal("RS256"),
  use: z.literal("sig"),
});
/** A public key as `/jwks` shows it (RFC 7517). */
export type PublicSigningKey = z.infer<typeof publicJwkSchema>;

const documentSchema = z.object({
  hostname: z.string(),
  active: z.object({ public: publicJwkSchema, private_key: z.string(), created_at: z.number() }),
  retired: z.array(z.object({ public: publicJwkSchema, expires_at: z.number() })),
});
type SigningKeyDocument = z.infer<typeof documentSchema>;

/** The signing keys of one hostname, opened. Times are unix seconds. */
export interface SigningKeySet {
  readonly active: {
    readonly kid: string;
    readonly privateKey: KeyObject;
    readonly public: PublicSigningKey;
  };
  /** Keys that sign no more and verify until their last token has ended. */
  readonly retired: readonly { readonly public: PublicSigningKey; readonly expiresAt: number }[];
  /** The document as stored, private part sealed: good for a copy in a file. */
  readonly text: string;
}

/** Where the keys of a hostname are, and what opens them. */
export interface SigningKeyPlace {
  readonly redis: RedisClient;
  readonly hostname: Hostname;
  /** Of this hostname: `SealingKeys.forHostname`. */
  readonly sealing: SealingKeys;
}

/** A key document that is there and can't be used. Never replaced in silence: that would end every token and hide the cause. */
export class SigningKeyError extends Error {
  override readonly name = "SigningKeyError";
}

/**
 * Returns the hostname's keys, making them when there are none yet. Of two instances that start at once one writes, both return
 * the same keys.
 * @throws {SigningKeyError} when the document is damaged or was sealed with a key that is not here.
 */
export async function openSigningKeys(place: SigningKeyPlace): Promise<SigningKeySet> {
  const key = signingKeyKey(place.hostname);
  const existing = await readText(place.redis, key);
  if (existing !== null) return readSigningKeys(existing, place);
  const document: SigningKeyDocument = {
    hostname: place.hostname,
    active: await makeKey(place),
    retired: [],
  };
  await place.redis.set(key, JSON.stringify(document), "NX");
  const written = await readText(place.redis, key);
  if (written === null) throw new SigningKeyError(`${key} vanished while it was made`);
  return readSigningKeys(written, place);
}

/**
 * Opens the text of a key document.
 * @throws {SigningKeyError} as {@link openSigningKeys}.
 */
export function readSigningKeys(
  text: string,
  place: Pick<SigningKeyPlace, "hostname" | "sealing">,
): SigningKeySet {
  const key = signingKeyKey(place.hostname);
  const document = parseRecord(text, { hostname: place.hostname, schema: documentSchema });
  if (document === undefined) throw new SigningKeyError(`${key} does not hold this hostname's signing keys`);
  const { active, retired } = document;
  const pem = place.sealing.open(key, active.private_key);
  if (pem === undefined) {
    throw new SigningKeyError(
      `${key} was sealed with another secret key: give it in GATEHOUSE_SECRET_KEYS_OLD`,
    );
  }
  return {
    active: { kid: active.public.kid, privateKey: createPrivateKey(pem), public: active.public },
    retired: retired.map((entry) => ({ public: entry.public, expiresAt: entry.expires_at })),
    text,
  };
}

/**
 * Makes a new active key; the old one verifies until the last token it may have signed has ended. Resolves with the new `kid`.
 * @param tokenLifetimeSeconds the longest life of an access token.
 * @throws {SigningKeyError} when there are no keys, they were sealed with another secret key, or somebody else rotated at the same moment.
 */
export async function rotateSigningKeys(
  place: SigningKeyPlace,
  tokenLifetimeSeconds: number,
): Promise<string> {
  const key = signingKeyKey(place.hostname);
  const stored = await readRecord(place.redis, key, { hostname: place.hostname, schema: documentSchema });
  if (stored === undefined) throw new SigningKeyError(`${key} holds no signing keys to rotate`);
  // With another secret key the new document would be one that no instance can open.
  readSigningKeys(stored.text, place);
  const now = Math.floor(Date.now() / 1000);
  const { active, retired } = stored.value;
  const document: SigningKeyDocument = {
    hostname: place.hostname,
    active: await makeKey(place),
    retired: [
      ...retired.filter((entry) => entry.expires_at > now),
      { public: active.public, expires_at: now + tokenLifetimeSeconds + RETIREMENT_LEEWAY_SECONDS },
    ],
  };
  const isReplaced = await replaceRecord(place.redis, key, {
    from: stored.text,
    to: JSON.stringify(document),
  });
  if (!isReplaced) throw new SigningKeyError(`${key} was rotated by somebody else at the same moment`);
  return document.active.public.kid;
}

async function makeKey(
  place: Pick<SigningKeyPlace, "hostname" | "sealing">,
): Promise<SigningKeyDocument["active"]> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: MODULUS_BITS });
  const { n = "", e = "" }: JsonWebKey = publicKey.export({ format: "jwk" });
  // RFC 7638 section 3: the required members in lexicographic order, without white space.
  const kid = hash("sha256", JSON.stringify({ e, kty: "RSA", n }), "base64url");
  const pem = privateKey.export({ type: "pkcs8", format: "pem" });
  return {
    public: { kty: "RSA", n, e, kid, alg: "RS256", use: "sig" },
    private_key: place.sealing.seal(signingKeyKey(place.hostname), pem),
    created_at: Math.floor(Date.now() / 1000),
  };
}
