import { bearerHash, codeKey, refreshTokenKey } from "@gatehouse/shared/redis-keys";
import type { Shown } from "./abuse-limits.ts";
import type { OAuthStore } from "./oauth-store.ts";

type Peer = Pick<Shown, "ip"> & { readonly authorization: string | undefined };

/** Returns what a token request shows: a code, or a refresh token. */
export function shownToToken(form: URLSearchParams, peer: Peer, store: OAuthStore): Shown {
  const code = form.get("code");
  const refreshToken = form.get("refresh_token");
  const key =
    code !== null ? codeKey(code) : refreshToken === null ? undefined : refreshTokenKey(refreshToken);
  return {
    ip: peer.ip,
    clientId: clientIdOf(form, peer.authorization),
    credential: key,
    isIssuedHere: async () => key !== undefined && (await store.has(key)),
  };
}

/** Returns what a revocation or introspection shows. `isVerified`: the token is an access token with a signature of this host. */
export function shownToOthers(
  form: URLSearchParams,
  peer: Peer & { readonly isVerified: boolean },
  store: OAuthStore,
): Shown {
  const token = form.get("token") ?? "";
  return {
    ip: peer.ip,
    clientId: clientIdOf(form, peer.authorization),
    credential: token === "" ? undefined : bearerHash(token),
    isIssuedHere: async () => peer.isVerified || (token !== "" && (await store.has(refreshTokenKey(token)))),
  };
}

/** The client that a request names (RFC 6749 section 2.3.1), or nothing: one that signs an assertion names itself in there. */
function clientIdOf(form: URLSearchParams, authorization: string | undefined): string {
  const [, encoded] = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(authorization ?? "") ?? [];
  const named =
    encoded === undefined ? undefined : Buffer.from(encoded, "base64").toString().split(":", 1)[0];
  return named ?? form.get("client_id") ?? "";
}
