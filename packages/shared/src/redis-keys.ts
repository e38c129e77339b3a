import type { Hostname } from "./hostname.ts";

/** Prefix of every route key; the dispatcher tracks it as a whole. */
export const ROUTE_PREFIX = "route:";

/** Key of a route: a hostname, `*.parent` or `*`. Written by operators and the command line only. */
export function routeKey(name: string): string {
  return ROUTE_PREFIX + name;
}

/** Key of a host config (JSON). Written by operators and the command line only. */
export function hostConfigKey(hostname: Hostname): string {
  return `proxy:${hostname}`;
}

/** Key of a stored certificate (JSON; the private key in it is sealed under this key's name). */
export function certificateKey(hostname: Hostname): string {
  return `cert:${hostname}`;
}
