import type { HostConfig } from "@gatehouse/shared/host-config";
import { assignableScopes } from "../oauth/scope.ts";
import { CLIENT_AUTH_METHODS, GRANT_TYPES, SIGNING_ALGORITHMS } from "./protocol.ts";

/**
 * Returns the authorization server metadata (RFC 8414 section 2): made of the origin and the host config alone, never of the
 * request. `scopes_supported` is what can be granted; clients copy it whole, so nothing else may stand there.
 */
export function authorizationServerMetadata(origin: string, config: HostConfig): Record<string, unknown> {
  const scopes = assignableScopes(config);
  return {
    issuer: origin,
    authorization_endpoint: `${origin}/authorize`,
    token_endpoint: `${origin}/token`,
    registration_endpoint: `${origin}/register`,
    jwks_uri: `${origin}/jwks`,
    revocation_endpoint: `${origin}/revoke`,
    introspection_endpoint: `${origin}/introspect`,
    // A list without entries is left out (RFC 8414 section 3.2).
    ...(scopes.length === 0 ? {} : { scopes_supported: scopes }),
    response_types_supported: ["code"],
    response_modes_supported: ["query"],
    grant_types_supported: GRANT_TYPES,
    code_challenge_methods_supported: ["S256"],
    token_endpoint_auth_methods_supported: CLIENT_AUTH_METHODS,
    // Required beside private_key_jwt.
    token_endpoint_auth_signing_alg_values_supported: SIGNING_ALGORITHMS,
    revocation_endpoint_auth_methods_supported: CLIENT_AUTH_METHODS,
    revocation_endpoint_auth_signing_alg_values_supported: SIGNING_ALGORITHMS,
    introspection_endpoint_auth_methods_supported: CLIENT_AUTH_METHODS,
    introspection_endpoint_auth_signing_alg_values_supported: SIGNING_ALGORITHMS,
    authorization_response_iss_parameter_supported: true,
    client_id_metadata_document_supported: true,
    protected_resources: [
      origin,
      ...(config.resource_endpoint === "/" ? [] : [origin + config.resource_endpoint]),
    ],
  };
}

/**
 * Returns the same for clients that only know OpenID Connect discovery (OpenID Connect Discovery 1.0 section 3). Their parsers
 * insist on two members about id_tokens; none is ever issued, since `openid` is no scope here.
 */
export function openidConfiguration(origin: string, config: HostConfig): Record<string, unknown> {
  return {
    ...authorizationServerMetadata(origin, config),
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: ["RS256"],
  };
}
