import { Cluster, type Redis } from "ioredis";
import type { RedisClient } from "./redis-connection.ts";
import { readText, textOfType } from "./stored-text.ts";

const SLOTS = 16_384;

/** Which master serves which slots, as one server sees it. */
export interface SlotMap {
  /** `host:port` of each master that serves any, sorted. */
  readonly masters: readonly string[];
  /** Every range with its master; two maps with the same text are the same. */
  readonly text: string;
  /** True when every slot is served. */
  readonly isWhole: boolean;
}

/** Asks a server of a Cluster. A master that does not say where it is, is where it was asked. */
export async function readSlots(server: Redis): Promise<SlotMap> {
  const ranges = await server.cluster("SLOTS");
  const own = server.options.host ?? "";
  const owned = ranges
    .map(([first, last, master]) => ({ first, last, master: `${master?.[0] || own}:${master?.[1]}` }))
    .sort((one, other) => one.first - other.first);
  return {
    masters: [...new Set(owned.map(({ master }) => master))].sort(),
    text: owned.map(({ first, last, master }) => `${first}-${last} ${master}`).join("\n"),
    isWhole: owned.reduce((sum, { first, last }) => sum + last - first + 1, 0) === SLOTS,
  };
}

/** `host:port` of a server of a Cluster. */
export function addressOf(server: Redis): string {
  return `${server.options.host}:${server.options.port}`;
}

/**
 * Returns every server that keys lie on: the one there is, or all masters of a Cluster.
 * @throws {Error} when that is not all of the keys: a slot that nobody serves, a master that can't be reached
 */
export async function everyServer(redis: RedisClient): Promise<readonly Redis[]> {
  return redis instanceof Cluster ? (await everyMaster(redis)).servers : [redis];
}

/**
 * Yields what is found on every server, one after the other.
 * @throws {Error} as {@link everyServer}, and when slots moved meanwhile: their keys may have been passed over
 */
export async function* onEveryServer<Found>(
  redis: RedisClient,
  find: (server: Redis) => AsyncGenerator<Found>,
): AsyncGenerator<Found> {
  if (!(redis instanceof Cluster)) {
    yield* find(redis);
    return;
  }
  const { servers, slots } = await everyMaster(redis);
  for (const server of servers) yield* find(server);
  if ((await everyMaster(redis)).slots.text !== slots.text)
    throw new Error("slots of the Redis Cluster moved while its keys were listed: run this again");
}

async function everyMaster(cluster: Cluster): Promise<{ servers: readonly Redis[]; slots: SlotMap }> {
  // The library's own list lacks a master whose connection was lost, until something is asked of it.
  await new Promise<void>((resolve) => {
    cluster.refreshSlotsCache(() => resolve());
  });
  const known = new Map(cluster.nodes("all").map((server) => [addressOf(server), server]));
  const slots = await Promise.any(cluster.nodes("master").map(readSlots)).catch((cause: unknown) => {
    throw new Error("no master of the Redis Cluster can be reached", { cause });
  });
  if (!slots.isWhole) throw new Error("the Redis Cluster does not serve every slot");
  const servers = slots.masters.map((master) => {
    const server = known.get(master);
    if (server === undefined) throw new Error(`the Redis Cluster's server ${master} can't be reached`);
    return server;
  });
  return { servers, slots };
}

/** Reads several strings, null for an absent one, and on a single server for one of another type: as one command of a single server, as one each, sent together, of a Cluster. */
export async function readStrings(
  redis: RedisClient,
  keys: readonly string[],
): Promise<readonly (string | null)[]> {
  if (!(redis instanceof Cluster)) return await redis.mget([...keys]);
  return await Promise.all(keys.map((key) => redis.get(key)));
}

/**
 * Reads several strings as {@link readText} does. To MGET a key of another type is an absent one, so those that seem absent are counted:
 * one command a batch, and none where every key has a value.
 */
export async function readTexts(
  redis: RedisClient,
  keys: readonly string[],
): Promise<readonly (string | null)[]> {
  if (redis instanceof Cluster) return await Promise.all(keys.map((key) => readText(redis, key)));
  const texts = await redis.mget([...keys]);
  const absent = keys.filter((_, i) => texts[i] === null);
  if (absent.length === 0 || (await redis.exists(absent)) === 0) return texts;
  const types = await Promise.all(absent.map((key) => redis.type(key)));
  // A string was written since: it was absent when it was asked for, and whoever follows it is told.
  const wrong = new Map(absent.flatMap((key, i) => wrongEntry(key, types[i] ?? "none")));
  return texts.map((text, i) => text ?? wrong.get(keys[i] ?? "") ?? null);
}

function wrongEntry(key: string, type: string): [string, string][] {
  return type === "none" || type === "string" ? [] : [[key, textOfType(key, type)]];
}
