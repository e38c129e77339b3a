/** What this authorization server speaks; metadata, engine and compatibility layer read the same words. */

export const GRANT_TYPES = ["authorization_code", "refresh_token"] as const;

/** `none` first: clients with a metadata document look for it, and some take the first they know. */
export const CLIENT_AUTH_METHODS = [
  "none",
  "client_secret_post",
  "client_secret_basic",
  "private_key_jwt",
] as const;

/** Algorithms of client assertions (RFC 7523); asymmetric ones only, there is no secret in clear to verify others with. */
export const SIGNING_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"] as const;

/** Parameter of ours inside the engine's authorization request: the scopes as the client asked for them. */
export const REQUESTED_SCOPE = "requested_scope";
