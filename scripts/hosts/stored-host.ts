import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { hostConfigKey, HOST_CONFIG_PREFIX, ROUTE_PREFIX, routeKey } from "@gatehouse/shared/redis-keys";
import { readText } from "@gatehouse/shared/stored-text";
import { scanKeys } from "./scan-keys.ts";

/** What Redis holds of a host: either part may be missing while it is being added or removed, and a text that stands for a wrong type. */
export interface StoredHost {
  readonly hostname: Hostname;
  /** Text of `proxy:{hostname}`, null when there is none. */
  readonly config: string | null;
  /** Text of `route:{hostname}`, null when there is none. */
  readonly route: string | null;
}

/** Reads both parts of one host. */
export async function readHost(redis: RedisClient, hostname: Hostname): Promise<StoredHost> {
  const [config, route] = await Promise.all([
    readText(redis, hostConfigKey(hostname)),
    readText(redis, routeKey(hostname)),
  ]);
  return { hostname, config, route };
}

/** Returns every hostname that has a route or a host config, sorted. Wildcard routes are no hosts. */
export async function readHosts(redis: RedisClient): Promise<StoredHost[]> {
  const names = new Set<Hostname>();
  for (const prefix of [ROUTE_PREFIX, HOST_CONFIG_PREFIX]) {
    for await (const key of scanKeys(redis, prefix)) {
      const parsed = parseHostname(key.slice(prefix.length));
      if (parsed.ok) names.add(parsed.hostname);
    }
  }
  return await Promise.all([...names].sort().map((hostname) => readHost(redis, hostname)));
}

/** Returns every route by the name it is filed under, sorted: wildcards and the default too. */
export async function readRoutes(redis: RedisClient): Promise<{ name: string; value: string }[]> {
  const routes: { name: string; value: string }[] = [];
  for await (const key of scanKeys(redis, ROUTE_PREFIX)) {
    const value = await readText(redis, key);
    if (value !== null) routes.push({ name: key.slice(ROUTE_PREFIX.length), value });
  }
  return routes.sort((one, other) => (one.name < other.name ? -1 : 1));
}
