import { setTimeout as delay } from "node:timers/promises";
import { RecordFollower } from "@gatehouse/shared/record-follower";
import {
  endPosition,
  everyRecord,
  newestRecords,
  oldestKept,
  type RecordPosition,
} from "@gatehouse/shared/record-query";
import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { LogRequest } from "./log-request.ts";
import type { RecordOutput } from "./record-output.ts";

/** Milliseconds between two looks for new records; each costs Redis two small commands. */
const FOLLOW_INTERVAL_MS = 200;

/**
 * Prints what was asked for, newest last, and where nothing is found how far back the record goes. A request that follows goes on
 * from the end of that page until the signal: no record is told twice, none is passed over.
 */
export async function printRecords(
  redis: RedisClient,
  { request, signal }: { readonly request: LogRequest; readonly signal: AbortSignal },
  output: RecordOutput,
): Promise<void> {
  const end = await endPosition(redis);
  const found = await printPast(redis, { request, end }, output);
  if (request.isFollowing) {
    await follow(new RecordFollower(redis, request.filter, end), signal, output);
  } else if (found === 0) {
    output.say(await nothingFound(redis, request));
  }
}

/** Redis may go away meanwhile. */
async function follow(follower: RecordFollower, signal: AbortSignal, output: RecordOutput): Promise<void> {
  let isAway = false;
  while (!signal.aborted) {
    let hasMore = false;
    try {
      const next = await follower.next();
      hasMore = next.hasMore;
      if (isAway) output.say("Redis answers again");
      isAway = false;
      output.print(next.records);
    } catch (error) {
      if (!isAway) output.say(`Redis does not answer, waiting for it: ${(error as Error).message}`);
      isAway = true;
    }
    if (!hasMore) await delay(FOLLOW_INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}

async function printPast(
  redis: RedisClient,
  { request: { filter, limit }, end }: { readonly request: LogRequest; readonly end: RecordPosition },
  output: RecordOutput,
): Promise<number> {
  if (limit !== undefined) {
    const records = await newestRecords(redis, filter, { limit, end });
    output.print(records);
    return records.length;
  }
  let found = 0;
  for await (const records of everyRecord(redis, filter, end)) {
    output.print(records);
    found += records.length;
  }
  return found;
}

async function nothingFound(redis: RedisClient, { words }: LogRequest): Promise<string> {
  const oldest = await oldestKept(redis);
  if (oldest === undefined)
    return "no records at all: nothing has been stored yet, or everything stored has ended";
  const since = new Date(oldest).toISOString().replace("T", " ");
  return `no records${words === "" ? "" : ` ${words}`}; the oldest record that is kept is of ${since}`;
}
