import { isIPv6, type AddressInfo } from "node:net";
import { ConfigError } from "@gatehouse/shared/config-error";
import type { Hostname } from "@gatehouse/shared/hostname";
import { usableSocketPath, type ListenAddress } from "@gatehouse/shared/listen-address";
import { routeKey } from "@gatehouse/shared/redis-keys";
import { formatTarget, parseRoute, type Target } from "@gatehouse/shared/route";

export interface AddressSources {
  readonly hostname: Hostname;
  /** LISTEN_FDS. */
  readonly inherited: readonly ListenAddress[];
  /** GATEHOUSE_INSTANCE_LISTEN. */
  readonly configured: ListenAddress | undefined;
  /** Value of the hostname's own, exact route; null when there is none. */
  readonly route: string | null;
}

/**
 * Returns where to accept connections (contract section 9): inherited descriptors, else the option, else the hostname's own route if
 * that names one place on this machine. Called once: a later change of the route never rebinds.
 * @throws {ConfigError} with the sentence that says what to do
 */
export function ownAddresses({
  hostname,
  inherited,
  configured,
  route,
}: AddressSources): readonly ListenAddress[] {
  if (inherited.length > 0) return inherited;
  if (configured) return [configured];
  const found = route === null ? undefined : addressOfRoute(route);
  if (found) return [found];
  const key = routeKey(hostname);
  throw new ConfigError(`no address to listen on for ${hostname}`, [
    {
      key: "GATEHOUSE_INSTANCE_LISTEN",
      expected: `set it (such as 13001 or unix:/run/gatehouse/${hostname}.sock), pass a socket by LISTEN_FDS, or give ${key} a single bare port or unix: path, as in: redis-cli SET ${key} 13001`,
      got: route === null ? `no ${key}` : `${key} = ${JSON.stringify(route.slice(0, 120))}`,
    },
  ]);
}

/** A bare port or a socket path is on this machine beyond doubt; an address or a list may be anywhere. */
function addressOfRoute(value: string): ListenAddress | undefined {
  const parsed = parseRoute(value);
  const [target, ...others] = parsed.ok ? parsed.route.targets : [];
  if (!target || others.length > 0) return undefined;
  if (target.kind === "unix") return { kind: "unix", path: target.path };
  return /^\s*\d+\s*(?:;|$)/.test(value) ? { kind: "tcp", host: target.host, port: target.port } : undefined;
}

export interface RouteReport {
  readonly value: string | null;
  /** False when no target of the route is where this process listens; null when that can't be told. */
  readonly leads_here: boolean | null;
  readonly problem?: string;
}

/** Compares the route with the bound addresses, for the health page. */
export function reportRoute(
  value: string | null,
  bound: readonly (AddressInfo | string | null)[],
): RouteReport {
  if (value === null)
    return { value, leads_here: false, problem: "there is no exact route for this hostname" };
  const parsed = parseRoute(value);
  if (!parsed.ok) return { value, leads_here: false, problem: parsed.problem };
  const { targets, proxy } = parsed.route;
  if (proxy === "off") {
    return { value, leads_here: false, problem: "proxy=off: this process requires the PROXY header" };
  }
  if (targets.some((target) => bound.some((address) => isBoundTo(target, address))))
    return { value, leads_here: true };
  if (bound.includes(null)) return { value, leads_here: null };
  const places = targets.map(formatTarget).join(", ");
  return {
    value,
    leads_here: false,
    problem: `the route leads to ${places}, this process listens elsewhere`,
  };
}

function isBoundTo(target: Target, bound: AddressInfo | string | null): boolean {
  if (bound === null) return false;
  if (typeof bound === "string") return target.kind === "unix" && usableSocketPath(target.path) === bound;
  if (target.kind === "unix" || target.port !== bound.port) return false;
  // A name, or an address of this machine behind a wildcard, can't be told from here; the port decides.
  const isWildcard = bound.address === "0.0.0.0" || bound.address === "::";
  const isAddress = /^[\d.]+$/.test(target.host) || isIPv6(target.host);
  return isWildcard || !isAddress || target.host === bound.address;
}
