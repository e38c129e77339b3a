/** What the resources of a host are made of: its origin (no trailing slash) and the path of the MCP endpoint. */
export interface ResourceHost {
  readonly origin: string;
  readonly endpoint: string;
}

/** Returns the identifier of the protected endpoint, which is also the default resource. */
export function endpointResource(host: ResourceHost): string {
  return host.endpoint === "/" ? host.origin : host.origin + host.endpoint;
}

/**
 * Returns the canonical form of a resource parameter (RFC 8707 section 2): the origin without slash, or the endpoint, which is
 * also what is meant when nothing was asked. Undefined for everything else: the answer is `invalid_target`. Clients write the
 * same resource in several ways (upper-case host, default port, a lone slash from `URL.href`), and tokens must not differ by it.
 */
export function canonicalResource(raw: string | undefined, host: ResourceHost): string | undefined {
  if (raw === undefined) return endpointResource(host);
  // A fragment is forbidden by the RFC, even an empty one, which URL parsers hide; credentials and queries are never ours.
  if (/[#?\\\s]/.test(raw)) return undefined;
  const url = URL.parse(raw);
  if (url === null || url.origin !== host.origin || url.username !== "" || url.password !== "")
    return undefined;
  if (url.pathname === "/") return host.origin;
  const path = url.pathname.endsWith("/") ? url.pathname.slice(0, -1) : url.pathname;
  return path === host.endpoint ? endpointResource(host) : undefined;
}
