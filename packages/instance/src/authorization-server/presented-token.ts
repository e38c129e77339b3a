import { createLocalJWKSet, decodeProtectedHeader, jwtVerify, type JWTPayload } from "jose";
import type { SigningKeys } from "../oauth/signing-key.ts";

/** A token as a client shows it to `/revoke` or `/introspect`. */
export type PresentedToken =
  /** Anything that is no JWT: a refresh token, if anything. */
  | { readonly kind: "opaque" }
  /** An access token of this host, not expired. */
  | { readonly kind: "access"; readonly jti: string; readonly claims: JWTPayload }
  /** A JWT of somebody else, altered, or expired. */
  | { readonly kind: "worthless" };

/** Reads a shown token: signature, type, issuer and time as at the protected resource (RFC 9068 section 4). Never rejects. */
export async function readPresentedToken(
  token: string,
  host: { origin: string; keys: SigningKeys },
): Promise<PresentedToken> {
  try {
    decodeProtectedHeader(token);
  } catch {
    return { kind: "opaque" };
  }
  try {
    const keys = createLocalJWKSet({ keys: [...host.keys.public] });
    const { payload } = await jwtVerify(token, keys, {
      issuer: host.origin,
      typ: "at+jwt",
      algorithms: ["RS256"],
      requiredClaims: ["jti", "exp"],
    });
    return payload.jti === undefined
      ? { kind: "worthless" }
      : { kind: "access", jti: payload.jti, claims: payload };
  } catch {
    return { kind: "worthless" };
  }
}

/** Returns what `/introspect` says of an active access token: its own claims (RFC 7662 section 2.2). */
export function activeToken(claims: JWTPayload): Record<string, unknown> {
  return { active: true, ...claims, username: claims.sub, token_type: "Bearer" };
}

/** Returns what `/introspect` says of an active refresh token: the engine's subject is our `uid`, as in the access tokens. */
export function activeRefreshToken(answer: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { sub: uid, ...rest } = answer;
  return { ...rest, uid, token_type: "refresh_token" };
}
