import { fullDisk } from "./disk.ts";
import { NOTHING_TO_END, type Fault } from "./fault.ts";
import { SECONDS } from "./process-faults.ts";
import type { Bed } from "./bed.ts";

/** With the store away nobody who is known notices. */
const SPARED = ["new connections", "kept connections", "streams"] as const;
const SLOW_MS = 500;
/** A port nobody listens on: a replica of it refuses writes and waits for ever. */
const NOBODY = ["127.0.0.1", 1] as const;

function redisOf(bed: Bed): NonNullable<Bed["redis"]> {
  if (bed.redis === undefined) throw new Error("this bed has no single Redis");
  return bed.redis;
}

/** Redis' files on a disk of their own, which is full. */
function diskFull(
  fsync: "always" | "everysec",
  afterwards?: (bed: Bed) => Promise<void>,
): ReturnType<typeof fullDisk> {
  return fullDisk(async ({ path: directory }) => ({ redisFiles: { directory, fsync } }), afterwards);
}

/** Redis killed, frozen, slow, full, read-only, failed over. */
export const redisFaults: readonly Fault[] = [
  {
    name: "redis-kill",
    title: "Redis: kill -9, started again after the fault's time",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    inject: async (bed) => {
      const redis = redisOf(bed);
      await redis.kill("SIGKILL");
      return async () => await redis.restart();
    },
  },
  {
    name: "redis-stop",
    title: "Redis: frozen",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    inject: async (bed) => {
      const redis = redisOf(bed);
      await redis.kill("SIGSTOP");
      return async () => await redis.kill("SIGCONT");
    },
  },
  {
    name: "redis-slow",
    title: `Redis: every answer ${2 * SLOW_MS} ms late (${SLOW_MS} each way)`,
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    place: async () => ({ isRelayed: true }),
    inject: async ({ redisRelay }) => {
      if (redisRelay === undefined) throw new Error("this bed has no relay");
      redisRelay.delayMs = SLOW_MS;
      return async () => void (redisRelay.delayMs = 0);
    },
  },
  {
    name: "redis-full",
    title: "Redis: out of memory (`maxmemory 1`, `noeviction`)",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    inject: async (bed) => {
      await bed.commandRedis((redis) => redis.config("SET", "maxmemory", "1"));
      return async () => await bed.commandRedis((redis) => redis.config("SET", "maxmemory", "0"));
    },
  },
  {
    name: "redis-disk-full",
    title: "Redis: disk full (`appendfsync always`: it ends itself), started again when there is room",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    // Who runs it starts it again, which it can't before there is room.
    ...diskFull("always", (bed) => redisOf(bed).restart()),
  },
  {
    name: "redis-disk-full-everysec",
    title: "Redis: disk full (`appendfsync everysec`: it refuses writes)",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    ...diskFull("everysec"),
  },
  {
    name: "redis-read-only",
    title: "Redis: read-only (a replica of nobody)",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    inject: async (bed) => {
      await bed.commandRedis((redis) => redis.replicaof(...NOBODY));
      return async () => await bed.commandRedis((redis) => redis.replicaof("NO", "ONE"));
    },
  },
  {
    name: "redis-failover",
    title: "Redis: master kill -9, failed over by Sentinel",
    seconds: 0,
    touches: [],
    spares: SPARED,
    place: async () => ({ hasSentinels: true }),
    inject: async ({ sentinels }) => {
      await sentinels?.failOver();
      return NOTHING_TO_END;
    },
  },
];
