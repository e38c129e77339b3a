import type { Redis } from "ioredis";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { addressOf, everyServer } from "@gatehouse/shared/redis-servers";

/** Oldest version that has what we use (contract section 3). */
const OLDEST_MAJOR = 7;
/** From here on a server that may not evict is about to refuse writes. */
const FULL = 0.9;

/** The server with routes and records, or the masters of a Cluster taken together, and what is wrong with how it is set up. */
export interface RedisStatus {
  /** Servers that keys lie on. */
  readonly servers: number;
  readonly version: string;
  readonly aof: boolean;
  readonly maxmemory_policy: string;
  readonly used_memory_bytes: number;
  /** 0: no limit. */
  readonly maxmemory_bytes: number;
  readonly warnings: readonly string[];
}

/** Asks INFO only: managed servers often refuse CONFIG. */
export async function redisStatus(redis: RedisClient): Promise<RedisStatus> {
  const servers = await everyServer(redis);
  const all = await Promise.all(servers.map(serverStatus));
  const worst = (isBad: (one: ServerStatus) => boolean): ServerStatus => {
    const found = all.find(isBad) ?? all[0];
    if (found === undefined) throw new Error("no server holds the keys");
    return found;
  };
  const oldest = all.reduce((one, other) => (isOlder(other, one) ? other : one));
  const sum = (of: (one: ServerStatus) => number): number => all.reduce((total, one) => total + of(one), 0);
  return {
    servers: all.length,
    version: oldest.version,
    aof: worst(({ aof }) => !aof).aof,
    maxmemory_policy: worst(({ maxmemory_policy: policy }) => policy !== "noeviction").maxmemory_policy,
    used_memory_bytes: sum((one) => one.used_memory_bytes),
    maxmemory_bytes: sum((one) => one.maxmemory_bytes),
    // Of a Cluster each warning says where; one that only one server has is worth as much.
    warnings: all.flatMap((one) =>
      warningsOf(one).map((warning) => (all.length === 1 ? warning : `${one.address}: ${warning}`)),
    ),
  };
}

type ServerStatus = Omit<RedisStatus, "warnings" | "servers"> & {
  readonly address: string;
  readonly writes_aof: boolean;
  readonly writes_rdb: boolean;
};

async function serverStatus(server: Redis): Promise<ServerStatus> {
  const info = parseInfo(await server.info());
  return {
    address: addressOf(server),
    version: info.get("redis_version") ?? "unknown",
    aof: info.get("aof_enabled") === "1",
    writes_aof: info.get("aof_last_write_status") !== "err",
    writes_rdb: info.get("rdb_last_bgsave_status") !== "err",
    maxmemory_policy: info.get("maxmemory_policy") ?? "unknown",
    used_memory_bytes: Number(info.get("used_memory") ?? 0),
    maxmemory_bytes: Number(info.get("maxmemory") ?? 0),
  };
}

function isOlder(one: ServerStatus, other: ServerStatus): boolean {
  return one.version.localeCompare(other.version, "en", { numeric: true }) < 0;
}

/** Who of ours is connected to it: their names there say what they are. Null when the server does not tell. */
export async function connectedProcesses(
  redis: RedisClient,
): Promise<{ dispatcher: boolean; instances: ReadonlySet<string> } | null> {
  let list: string;
  try {
    // A process has a connection to each master, but a busy moment may find one of them renewed.
    list = (await Promise.all((await everyServer(redis)).map((server) => server.client("LIST")))).join("\n");
  } catch {
    return null; // its ACL forbids it: then nothing is said about processes
  }
  const names = [...list.matchAll(/ name=(\S*)/g)].map(([, name = ""]) => name);
  const prefix = "gatehouse-instance-";
  const instances = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return { dispatcher: names.includes("gatehouse-dispatcher"), instances: new Set(instances) };
}

function warningsOf(status: ServerStatus): string[] {
  const warnings: string[] = [];
  if (!(Number.parseInt(status.version, 10) >= OLDEST_MAJOR))
    warnings.push(`version ${status.version}: ${OLDEST_MAJOR}.0 or newer is needed`);
  if (!status.aof) warnings.push("no append-only file: a crash loses hosts and logins (appendonly yes)");
  if (status.maxmemory_policy !== "noeviction")
    warnings.push(`maxmemory-policy is ${status.maxmemory_policy}: under pressure hosts vanish (noeviction)`);
  if (!status.writes_aof)
    warnings.push("the append-only file can't be written (is its disk full?): every write fails");
  if (!status.writes_rdb)
    warnings.push(
      "the last snapshot failed (is its disk full?): with stop-writes-on-bgsave-error every write fails",
    );
  const { maxmemory_bytes: limit, used_memory_bytes: used } = status;
  if (limit > 0 && used > limit * FULL)
    warnings.push(`${Math.round((100 * used) / limit)} % of maxmemory are used: at 100 % every write fails`);
  return warnings;
}

function parseInfo(text: string): Map<string, string> {
  const lines = text.split("\r\n").filter((line) => line.includes(":") && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}
