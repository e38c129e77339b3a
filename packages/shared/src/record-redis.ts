import { Cluster } from "ioredis";
import { closeRedis, openRedis, type RedisConnectionOptions } from "./redis-connection.ts";
import { parseRedisUrl } from "./redis-url.ts";
import type { RecordRedis } from "./record-segments.ts";

const CLUSTER_SCHEME = /^(rediss?)\+cluster:\/\//;

/** True for a URL that {@link openRecordRedis} takes. */
export function isRecordRedisUrl(text: string): boolean {
  return parseClusterUrl(text) !== undefined || parseRedisUrl(text) !== undefined;
}

/**
 * Opens a connection for the stored record: to one server, as {@link openRedis} does, or to a Cluster, named by some of its servers:
 * `redis+cluster://[user:password@]host:port[,host:port…]`, with `rediss+cluster:` over TLS. As there, a command that can't be sent
 * rejects and nothing is queued.
 * @throws {TypeError} when the URL can't be read
 */
export function openRecordRedis(options: Pick<RedisConnectionOptions, "url" | "clientName">): RecordRedis {
  const place = parseClusterUrl(options.url);
  if (place === undefined) return openRedis(options);
  const cluster = new Cluster(place.nodes, {
    enableOfflineQueue: false,
    clusterRetryStrategy: (attempt) => Math.min(100 * attempt, 1000),
    redisOptions: {
      ...place.redisOptions,
      connectionName: options.clientName,
      disableClientInfo: true,
      replyMapping: "legacy",
      connectTimeout: 5000,
      commandTimeout: 2000,
      maxRetriesPerRequest: 0,
    },
  });
  // Whoever's command is rejected says so.
  cluster.on("error", () => undefined);
  return cluster;
}

/** Closes it for good. Never rejects. */
export async function closeRecordRedis(redis: RecordRedis): Promise<void> {
  if (redis instanceof Cluster) redis.disconnect();
  else await closeRedis(redis);
}

function parseClusterUrl(text: string) {
  const scheme = CLUSTER_SCHEME.exec(text);
  if (scheme === null) return undefined;
  const servers = text.slice(scheme[0].length).split(",");
  const places = servers.map((server) => parseRedisUrl(`${scheme[1]}://${server}`));
  const [first] = places;
  if (first === undefined || places.some((place) => place === undefined || place.db !== 0)) return undefined;
  const nodes = places.map((place) => ({ host: place?.host ?? "", port: place?.port ?? 0 }));
  const { host: _host, port: _port, db: _db, ...redisOptions } = first;
  return { nodes, redisOptions };
}
