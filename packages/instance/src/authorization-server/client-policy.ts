import { errors, type ClientMetadata } from "oidc-provider";
import { isDocumentClientId } from "../oauth/client-id.ts";
import { checkRedirectUri } from "../oauth/redirect-uri.ts";

/** Metadata of ours that the engine keeps although it does not know it; the first also gives us the hook for every client. */
export const EXTRA_CLIENT_METADATA = ["software_id", "software_version"] as const;

/** Members that only mean something with OpenID Connect, or that would make the engine refuse or fetch something. */
const IGNORED = [
  "scope",
  "contacts",
  "default_max_age",
  "default_acr_values",
  "require_auth_time",
  "sector_identifier_uri",
  "initiate_login_uri",
] as const;

/**
 * Holds one client's metadata to this host's policy, whether it was registered or comes from a metadata document, before the
 * engine judges it; changes what this server decides itself. Throws the engine's errors.
 */
export function applyClientPolicy(metadata: ClientMetadata, schemes: readonly string[]): void {
  for (const name of IGNORED) metadata[name] = undefined;
  if (isDocumentClientId(metadata.client_id)) applyDocumentPolicy(metadata);
  metadata.application_type = applicationType(metadata.redirect_uris, schemes);
}

/** A metadata document can't share a secret (draft-ietf-oauth-client-id-metadata-document section 4.1). */
function applyDocumentPolicy(metadata: ClientMetadata): void {
  if (typeof metadata.client_name !== "string" || metadata.client_name === "")
    throw new errors.InvalidClientMetadata("client_name is required in a metadata document");
  // The engine refused a document that says so; here it is only the default it filled in.
  if (metadata.token_endpoint_auth_method === "client_secret_basic")
    metadata.token_endpoint_auth_method = "none";
}

/**
 * `native` is what lets the port of a loopback URI vary (RFC 8252 section 7.3) and private-use schemes pass; clients leave
 * `application_type` out, which would mean `web` (RFC 7591 section 2).
 */
function applicationType(uris: unknown, schemes: readonly string[]): "native" | "web" {
  if (!Array.isArray(uris) || uris.length === 0)
    throw new errors.InvalidClientMetadata("redirect_uris must contain members");
  let isNative = false;
  for (const uri of uris as unknown[]) {
    const check = typeof uri === "string" ? checkRedirectUri(uri, schemes) : undefined;
    if (check === undefined) throw new errors.InvalidClientMetadata("redirect_uris must be strings");
    if (!check.ok) throw new errors.InvalidClientMetadata(`redirect_uris ${check.problem}`);
    isNative ||= check.kind !== "https";
  }
  return isNative ? "native" : "web";
}
