import type { RedisOptions } from "ioredis";

/** What a Redis URL may be, for messages. */
export const REDIS_URL_FORMS =
  "redis://, rediss://, unix:///path, redis+sentinel://host,host/NAME or redis+cluster://host,host";

const SENTINEL_SCHEME = /^(rediss?)\+sentinel:\/\//;
const SENTINEL_PORT = 26_379;

/**
 * Reads `redis://[user:password@]host[:port][/db]`, the same with `rediss:` for TLS, or `unix:///path` with `db`, `username`
 * and `password` as query parameters (a URL without a host has no place for them). With Sentinels:
 * `redis+sentinel://[user:password@]host[:port][,host[:port]…]/NAME[/db]`, the credentials being the server's, those of the Sentinels
 * in `sentinel_username` and `sentinel_password`, and `rediss+sentinel:` TLS to both. Undefined for anything else. Never throws.
 */
export function parseRedisUrl(text: string): RedisOptions | undefined {
  try {
    if (SENTINEL_SCHEME.test(text)) return sentinelPlace(text);
    const url = URL.parse(text);
    if (url === null) return undefined;
    if (url.protocol === "unix:") return unixPlace(url);
    return url.protocol === "redis:" || url.protocol === "rediss:" ? tcpPlace(url) : undefined;
  } catch {
    return undefined; // a percent sign that is no escape
  }
}

/** A Cluster: some of its servers, and what every one of them is connected to with. */
export interface ClusterPlace {
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly options: Pick<RedisOptions, "username" | "password" | "tls">;
}

const CLUSTER_SCHEME = /^(rediss?)\+cluster:\/\//;

/**
 * Reads `redis+cluster://[user:password@]host[:port][,host[:port]…]`: some servers of a Cluster, which name the others;
 * `rediss+cluster:` for TLS to all of them. A Cluster has database 0 only. Undefined for anything else. Never throws.
 */
export function parseClusterUrl(text: string): ClusterPlace | undefined {
  const scheme = CLUSTER_SCHEME.exec(text);
  if (scheme === null) return undefined;
  const servers = text.slice(scheme[0].length).split(",");
  const places = servers.map((server) => parseRedisUrl(`${scheme[1]}://${server}`));
  const [first] = places;
  if (first === undefined || places.some((place) => place === undefined || place.db !== 0)) return undefined;
  const nodes = places.map((place) => ({ host: place?.host ?? "", port: place?.port ?? 0 }));
  const { host: _host, port: _port, db: _db, ...options } = first;
  return { nodes, options };
}

/** True for every URL that names a Redis, in any of the {@link REDIS_URL_FORMS}. */
export function isRedisUrl(text: string): boolean {
  return parseClusterUrl(text) !== undefined || parseRedisUrl(text) !== undefined;
}

function tcpPlace(url: URL): RedisOptions | undefined {
  const db = databaseNumber(url.pathname.slice(1));
  if (url.hostname === "" || db === undefined) return undefined;
  return {
    ...credentials(decodeURIComponent(url.username), decodeURIComponent(url.password)),
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? 6379 : Number(url.port),
    db,
    ...(url.protocol === "rediss:" ? { tls: {} } : {}),
  };
}

const SENTINEL_URL = /^(rediss?)\+sentinel:\/\/((?:[^@/]*@)?)([^/@]+)(\/.*)$/;

/** A URL has one host: the others are read as that of a URL each. */
function sentinelPlace(text: string): RedisOptions | undefined {
  const [, scheme = "", user = "", hosts = "", rest = ""] = SENTINEL_URL.exec(text) ?? [];
  const url = URL.parse(`${scheme}://${user}host${rest}`);
  const sentinels = hosts.split(",").flatMap((host) => sentinelAddress(host) ?? []);
  const place = url === null ? undefined : namedPlace(url);
  if (url === null || place === undefined || sentinels.length < hosts.split(",").length) return undefined;
  return {
    ...credentials(decodeURIComponent(url.username), decodeURIComponent(url.password)),
    ...sentinelCredentials(url.searchParams),
    ...(scheme === "rediss" ? { tls: {}, enableTLSForSentinelMode: true, sentinelTLS: {} } : {}),
    ...place,
    sentinels,
    // A former master that lives on behind a broken network would go on taking what we write.
    failoverDetector: true,
  };
}

/** `/NAME` or `/NAME/db`. */
function namedPlace({ pathname }: URL): { name: string; db: number } | undefined {
  const [, name = "", number = "", ...more] = pathname.split("/").map(decodeURIComponent);
  const db = databaseNumber(number);
  return name === "" || db === undefined || more.length > 0 ? undefined : { name, db };
}

function sentinelCredentials(query: URLSearchParams): RedisOptions {
  const [username, password] = [query.get("sentinel_username") ?? "", query.get("sentinel_password") ?? ""];
  return {
    ...(username === "" ? {} : { sentinelUsername: username }),
    ...(password === "" ? {} : { sentinelPassword: password }),
  };
}

function sentinelAddress(text: string): { host: string; port: number } | undefined {
  const url = URL.parse(`redis://${text}`);
  if (url === null || url.hostname === "" || url.pathname !== "" || url.search !== "") return undefined;
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { host, port: url.port === "" ? SENTINEL_PORT : Number(url.port) };
}

function unixPlace(url: URL): RedisOptions | undefined {
  const path = decodeURIComponent(url.pathname);
  const db = databaseNumber(url.searchParams.get("db") ?? "");
  if (url.hostname !== "" || !path.startsWith("/") || path === "/" || db === undefined) return undefined;
  const { searchParams } = url;
  return {
    ...credentials(searchParams.get("username") ?? "", searchParams.get("password") ?? ""),
    path,
    db,
  };
}

function credentials(username: string, password: string): RedisOptions {
  return { ...(username === "" ? {} : { username }), ...(password === "" ? {} : { password }) };
}

function databaseNumber(text: string): number | undefined {
  if (text === "") return 0;
  return /^\d{1,4}$/.test(text) ? Number(text) : undefined;
}
