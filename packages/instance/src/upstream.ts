import { parseUpstream, type HostConfig, type Upstream } from "@gatehouse/shared/host-config";
import { isHopByHop } from "./hop-by-hop.ts";
import { foldedName, isOurs } from "./identity-headers.ts";
import type { UpstreamHeaderRules } from "./upstream-request.ts";

/** What a host config means for forwarding, computed once when the config arrives. */
export interface UpstreamPlan {
  readonly upstream: Upstream;
  /** As records show it: base URL without credentials or query. */
  readonly label: string;
  /** What is put in front of every request path; empty for none. */
  readonly basePath: string;
  readonly caPem: string | undefined;
  readonly headers: UpstreamHeaderRules;
  /** Browser origins that may call; undefined: Origin is not looked at (open hosts, contract section 4). */
  readonly allowedOrigins: ReadonlySet<string> | undefined;
}

/** @throws {TypeError} when `target_url` is no upstream, which a parsed host config never holds. */
export function planUpstream(config: HostConfig): UpstreamPlan {
  const upstream = parseUpstream(config.target_url);
  if (upstream === undefined) throw new TypeError("target_url is not an upstream");
  const custom = Object.entries(config.custom_headers).filter(([name]) => isCustomizable(name.toLowerCase()));
  const customHost = custom.find(([name]) => name.toLowerCase() === "host")?.[1];
  const others = custom.filter(([name]) => name.toLowerCase() !== "host");
  return {
    upstream,
    label: upstream.kind === "tcp" ? upstream.origin + upstream.basePath : `unix:${upstream.socketPath}`,
    basePath: upstream.kind === "tcp" ? upstream.basePath : "",
    caPem: config.target_ca_pem,
    headers: {
      custom: others.flat(),
      customNames: new Set(others.map(([name]) => foldedName(name))),
      host: customHost ?? (config.preserve_host_header ? undefined : hostOf(upstream)),
    },
    allowedOrigins: config.allowed_origins === undefined ? undefined : new Set(config.allowed_origins),
  };
}

/** True when two plans can share connections. */
export function isSameUpstream(one: UpstreamPlan, other: UpstreamPlan): boolean {
  return one.label === other.label && one.caPem === other.caPem;
}

/** Framing, connection and identity are not the operator's to write: a wrong value there would break or forge a message. */
function isCustomizable(name: string): boolean {
  return (
    !isHopByHop(name) &&
    !isOurs(name) &&
    !["content-length", "trailer", "expect", "tracestate"].includes(name)
  );
}

function hostOf(upstream: Upstream): string {
  return upstream.kind === "tcp" ? new URL(upstream.origin).host : "localhost";
}
