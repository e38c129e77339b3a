import { setTimeout as delay } from "node:timers/promises";
import type { Environment } from "@gatehouse/shared/read-config";
import { newestRecords } from "@gatehouse/shared/record-query";
import { closeRedis, openRedis } from "@gatehouse/shared/redis-connection";
import { connected } from "../commands/connected.ts";
import { recordPlace } from "../log/record-place.ts";

const MINUTE_MS = 60_000;
const WINDOW_MINUTES = 5;
/** Reading this many takes a tenth of a second; on a busier machine the rate is that of a shorter while. */
const MAX_RECORDS = 5000;

/** Records per minute over the last minutes. */
export interface RecordRates {
  /** How long a while that is. */
  readonly minutes: number;
  readonly records: number;
  readonly requests: number;
  readonly server_errors: number;
}

/** Returns the rates, or the sentence why there are none. The record may lie on another server, and a status is wanted without it too. */
export async function recordRates(env: Environment, now: number): Promise<RecordRates | string> {
  let redis;
  try {
    redis = openRedis({ url: await recordPlace(env), clientName: "gatehouse-status" });
    await connected(redis, "LOG_REDIS_URL or REDIS_URL");
    const filter = { since: now - WINDOW_MINUTES * MINUTE_MS };
    const found = await Promise.race([newestRecords(redis, filter, { limit: MAX_RECORDS }), tooLate()]);
    const oldest = found[0]?.time;
    const isCut = found.length >= MAX_RECORDS && oldest !== undefined;
    const minutes = isCut ? Math.max((now - oldest) / MINUTE_MS, 1 / 60) : WINDOW_MINUTES;
    const requests = found.filter(({ event }) => event === "request_ended");
    const perMinute = (count: number): number => Math.round((10 * count) / minutes) / 10;
    return {
      minutes: Math.round(10 * minutes) / 10,
      records: perMinute(found.length),
      requests: perMinute(requests.length),
      server_errors: perMinute(requests.filter(({ status }) => (status ?? 0) >= 500).length),
    };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    if (redis !== undefined) await closeRedis(redis);
  }
}

async function tooLate(): Promise<never> {
  await delay(5000, undefined, { ref: false });
  throw new Error("the stored record did not answer within 5 s");
}
