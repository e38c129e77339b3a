import type { RedisOptions } from "ioredis";
import { parseClusterUrl, parseRedisUrl } from "@gatehouse/shared/redis-url";

/** What redis-cli needs to reach the server of a URL; undefined when the URL can't be read. */
export function cliArguments(url: string): { args: string[]; password: string | undefined } | undefined {
  const cluster = parseClusterUrl(url);
  // Any server of a Cluster will do: with -c it is followed where it sends us.
  const place: RedisOptions | undefined = cluster
    ? { ...cluster.options, ...cluster.nodes[0] }
    : parseRedisUrl(url);
  // redis-cli knows no Sentinels; the server itself has to be named.
  if (place === undefined || place.sentinels !== undefined) return undefined;
  const args =
    place.path === undefined ? ["-h", place.host ?? "", "-p", String(place.port)] : ["-s", place.path];
  if (cluster) args.push("-c");
  if (place.db) args.push("-n", String(place.db));
  if (place.username !== undefined) args.push("--user", place.username);
  if (place.tls !== undefined) args.push("--tls");
  return { args, password: place.password };
}

/** Splits a command line into words; quotes of either kind hold a word together and are not part of it. */
export function splitWords(line: string): string[] {
  const words = line.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|(\S+)/g);
  return Array.from(
    words,
    ([, double, single, bare]) => double?.replaceAll(/\\(.)/g, "$1") ?? single ?? bare ?? "",
  );
}
