import type { HostConfig } from "@gatehouse/shared/host-config";
import { endpointResource } from "../oauth/resource.ts";

const WELL_KNOWN = "/.well-known/oauth-protected-resource";
/** Without letter case: an upstream that routes so must not get to answer for us either. */
const RESERVED = /^\/\.well-known\/(?:oauth|openid)/i;

/** The metadata of a protected resource (RFC 9728 section 2), as far as it is published. */
export interface ResourceMetadata {
  readonly resource: string;
  readonly authorization_servers: readonly string[];
  readonly scopes_supported: readonly string[];
  readonly bearer_methods_supported: readonly string[];
  readonly resource_name: string;
}

export interface ResourcePlace {
  readonly config: HostConfig;
  readonly origin: string;
}

/**
 * Returns the metadata document of a path, if it has one. The root form describes the origin, the form with the endpoint's path
 * inserted describes the endpoint: each names the resource its URL was made from, or clients discard it (RFC 9728 section 3.3).
 */
export function resourceMetadata(path: string, place: ResourcePlace): ResourceMetadata | undefined {
  const { config, origin } = place;
  const endpoint = endpointResource({ origin, endpoint: config.resource_endpoint });
  if (path === WELL_KNOWN) return describe(origin, place);
  if (path === WELL_KNOWN + config.resource_endpoint) return describe(endpoint, place);
  return undefined;
}

/** Returns the URL of the document that describes the resource a request was for (RFC 9728 section 3.1). */
export function metadataUrl(isEndpoint: boolean, { config, origin }: ResourcePlace): string {
  const isInserted = isEndpoint && config.resource_endpoint !== "/";
  return origin + WELL_KNOWN + (isInserted ? config.resource_endpoint : "");
}

/** True for paths below `/.well-known/` that only the authorization server and this resource may answer (contract section 4). */
export function isReservedWellKnown(path: string): boolean {
  return RESERVED.test(path);
}

/** `offline_access` is never among the scopes: a refresh token is no matter of the resource (MCP 2026-07-28, Refresh Tokens). */
function describe(resource: string, { config, origin }: ResourcePlace): ResourceMetadata {
  return {
    resource,
    authorization_servers: [origin],
    scopes_supported: config.resource_scopes,
    bearer_methods_supported: ["header"],
    resource_name: new URL(origin).hostname,
  };
}
