import { verify, type KeyObject } from "node:crypto";
import * as z from "zod";

/** Why a token that was shown is worth nothing here. A closed set: each has one word in the record and one sentence for the client. */
export const TOKEN_PROBLEMS = [
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
] as const;
export type TokenProblem = (typeof TOKEN_PROBLEMS)[number];

/** A token that is refused. */
export interface BearerProblem {
  readonly problem: TokenProblem;
}

/** What a genuine token of this host says (RFC 9068 section 2.2). */
export interface TokenClaims {
  readonly jti: string;
  /** The login, as the traffic record shows it. */
  readonly sub: string;
  /** The identity provider's immutable id. */
  readonly uid: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
  readonly email: string | null;
  /** Unix seconds. */
  readonly exp: number;
  readonly audience: readonly string[];
}

export interface TokenTrust {
  /** The issuer, byte for byte. */
  readonly issuer: string;
  /** This host's public keys by `kid`; no other key is ever looked at. */
  readonly keys: ReadonlyMap<string, KeyObject>;
  /** Unix seconds. */
  readonly now: number;
}

/** Far above what the authorization server makes; Node takes no longer headers anyway. */
const MAX_LENGTH = 8192;
const COMPACT = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)$/;
/** RFC 9068 section 4 allows both; media types know no case. */
const TYPE = /^(?:application\/)?at\+jwt$/i;

const claimsSchema = z.looseObject({
  iss: z.string(),
  aud: z.union([z.string(), z.array(z.string())]),
  sub: z.string().min(1),
  uid: z.string().min(1),
  client_id: z.string().min(1),
  jti: z.string().min(1),
  exp: z.number(),
  nbf: z.number().optional(),
  scope: z.string().default(""),
  email: z.string().nullable().default(null),
});

/**
 * Checks an access token as RFC 9068 section 4 demands, short of its audience, which depends on the host config. RS256 only, the
 * key by `kid` and never from the token itself, so neither `none` nor HMAC with the public key gets anywhere (RFC 8725 sections
 * 2.1, 3.1). Synchronous on purpose: for RS256 the hop to a thread costs more than the check. Never throws.
 */
export function readSignedToken(token: string, trust: TokenTrust): TokenClaims | BearerProblem {
  const parts = token.length > MAX_LENGTH ? null : COMPACT.exec(token);
  if (parts === null) return { problem: "malformed" };
  const [, header = "", payload = "", signature = ""] = parts;
  const key = readHeader(header, trust.keys);
  if ("problem" in key) return key;
  if (!isSigned(`${header}.${payload}`, signature, key.key)) return { problem: "bad_signature" };
  return readClaims(payload, trust);
}

/** Returns who an access token claims to be from, without believing it; undefined for what is none (RFC 9068 section 2). Never throws. */
export function claimedIssuer(token: string): string | undefined {
  const parts = token.length > MAX_LENGTH ? null : COMPACT.exec(token);
  const [, header = "", payload = ""] = parts ?? [];
  const type = readJson(header)?.["typ"];
  const issuer = typeof type === "string" && TYPE.test(type) ? readJson(payload)?.["iss"] : undefined;
  return typeof issuer === "string" ? issuer : undefined;
}

function readHeader(
  text: string,
  keys: ReadonlyMap<string, KeyObject>,
): { readonly key: KeyObject } | BearerProblem {
  const header = readJson(text);
  // An extension that must be understood is not (RFC 7515 section 4.1.11).
  if (header === undefined || "crit" in header) return { problem: "malformed" };
  const { typ, alg, kid } = header;
  if (typeof typ !== "string" || !TYPE.test(typ)) return { problem: "wrong_type" };
  if (alg !== "RS256") return { problem: "wrong_algorithm" };
  const key = typeof kid === "string" ? keys.get(kid) : undefined;
  return key === undefined ? { problem: "unknown_key" } : { key };
}

function isSigned(input: string, signature: string, key: KeyObject): boolean {
  const octets = Buffer.from(signature, "base64url");
  // Only one spelling: a token must not have a second one under which it is cached again.
  if (octets.toString("base64url") !== signature) return false;
  return verify("sha256", Buffer.from(input), key, octets);
}

function readClaims(text: string, { issuer, now }: TokenTrust): TokenClaims | BearerProblem {
  const parsed = claimsSchema.safeParse(readJson(text));
  if (!parsed.success) return { problem: "malformed" };
  const claims = parsed.data;
  if (claims.iss !== issuer) return { problem: "wrong_issuer" };
  if (claims.exp <= now) return { problem: "expired" };
  if (claims.nbf !== undefined && claims.nbf > now) return { problem: "not_yet_valid" };
  return {
    jti: claims.jti,
    sub: claims.sub,
    uid: claims.uid,
    clientId: claims.client_id,
    scopes: claims.scope.split(" ").filter((scope) => scope !== ""),
    email: claims.email,
    exp: claims.exp,
    audience: [claims.aud].flat(),
  };
}

function readJson(base64url: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(base64url, "base64url").toString());
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined; // no JSON: no token
  }
}
