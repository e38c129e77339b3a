import type { Redis } from "ioredis";

/** Oldest version that has what we use (contract section 3). */
const OLDEST_MAJOR = 7;
/** From here on a server that may not evict is about to refuse writes. */
const FULL = 0.9;

/** The server with routes and records, and what is wrong with how it is set up. */
export interface RedisStatus {
  readonly version: string;
  readonly aof: boolean;
  readonly maxmemory_policy: string;
  readonly used_memory_bytes: number;
  /** 0: no limit. */
  readonly maxmemory_bytes: number;
  readonly warnings: readonly string[];
}

/** Asks INFO only: managed servers often refuse CONFIG. */
export async function redisStatus(redis: Redis): Promise<RedisStatus> {
  const info = parseInfo(await redis.info());
  const status = {
    version: info.get("redis_version") ?? "unknown",
    aof: info.get("aof_enabled") === "1",
    maxmemory_policy: info.get("maxmemory_policy") ?? "unknown",
    used_memory_bytes: Number(info.get("used_memory") ?? 0),
    maxmemory_bytes: Number(info.get("maxmemory") ?? 0),
  };
  return { ...status, warnings: warningsOf(status) };
}

/** Who of ours is connected to it: their names there say what they are. Null when the server does not tell. */
export async function connectedProcesses(
  redis: Redis,
): Promise<{ dispatcher: boolean; instances: ReadonlySet<string> } | null> {
  let list: string;
  try {
    list = String(await redis.client("LIST"));
  } catch {
    return null; // its ACL forbids it: then nothing is said about processes
  }
  const names = [...list.matchAll(/ name=(\S*)/g)].map(([, name = ""]) => name);
  const prefix = "gatehouse-instance-";
  const instances = names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
  return { dispatcher: names.includes("gatehouse-dispatcher"), instances: new Set(instances) };
}

function warningsOf(status: Omit<RedisStatus, "warnings">): string[] {
  const warnings: string[] = [];
  if (!(Number.parseInt(status.version, 10) >= OLDEST_MAJOR))
    warnings.push(`version ${status.version}: ${OLDEST_MAJOR}.0 or newer is needed`);
  if (!status.aof) warnings.push("no append-only file: a crash loses hosts and logins (appendonly yes)");
  if (status.maxmemory_policy !== "noeviction")
    warnings.push(`maxmemory-policy is ${status.maxmemory_policy}: under pressure hosts vanish (noeviction)`);
  const { maxmemory_bytes: limit, used_memory_bytes: used } = status;
  if (limit > 0 && used > limit * FULL)
    warnings.push(`${Math.round((100 * used) / limit)} % of maxmemory are used: at 100 % every write fails`);
  return warnings;
}

function parseInfo(text: string): Map<string, string> {
  const lines = text.split("\r\n").filter((line) => line.includes(":") && !line.startsWith("#"));
  return new Map(lines.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 1)]));
}
