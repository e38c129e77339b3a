/** A connection through Sentinels: of which one does not answer, and to a master that changes. */
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import {
  startPrivateRedisSentinel,
  type PrivateRedisSentinel,
} from "@gatehouse/testbed/private-redis-sentinel";
import { closeRedis, openRedis, type RedisClient } from "../src/redis-connection.ts";
import { toldKeys } from "./support/told-keys.ts";
import { until } from "@gatehouse/testbed/until";

const TIMEOUT_MS = 60_000;
/** A frozen Sentinel is given a second, and is asked again at each attempt. */
const FOLLOWED_MS = 20_000;

let sentinels: PrivateRedisSentinel;
let redis: RedisClient;

beforeEach(async () => {
  sentinels = await startPrivateRedisSentinel();
}, TIMEOUT_MS);
afterEach(async () => {
  sentinels.signalFirst("SIGCONT");
  await closeRedis(redis);
  await sentinels.stop();
}, TIMEOUT_MS);

function open(): RedisClient {
  return openRedis({ url: sentinels.url, clientName: "test-sentinel" });
}

test(
  "a frozen Sentinel is passed over",
  async () => {
    sentinels.signalFirst("SIGSTOP");
    redis = open();
    await until(() => redis.status === "ready", Boolean, FOLLOWED_MS);
    expect(await redis.set("a", "1")).toBe("OK");
  },
  TIMEOUT_MS,
);

test(
  "a frozen Sentinel does not hold up the end of a connection",
  async () => {
    sentinels.signalFirst("SIGSTOP");
    redis = open();
    await until(() => redis.status === "connecting");
    const asked = performance.now();
    await closeRedis(redis);
    expect(performance.now() - asked).toBeLessThan(5_000);
    expect(redis.status).toBe("end");
  },
  TIMEOUT_MS,
);

test(
  "the new master is followed also when it is told while a Sentinel is being asked for it",
  async () => {
    redis = open();
    await until(() => redis.status === "ready");
    await until(async () => (await sentinels.countHeard()) === 3);
    // The connection asks it first, and waits for it while the others publish who the master is.
    sentinels.signalFirst("SIGSTOP");
    await sentinels.failOver();
    await until(() => redis.status === "ready", Boolean, FOLLOWED_MS);
    expect(await redis.set("a", "1")).toBe("OK");
  },
  TIMEOUT_MS,
);

test(
  "a master that is exchanged on purpose is left, and what is written to the new one is told",
  async () => {
    const told: string[] = [];
    const tracked = toldKeys(told, { url: sentinels.url });
    tracked.start();
    redis = open();
    try {
      await until(() => tracked.armed && redis.status === "ready");
      // The former master lives on, and would take neither a write nor tell of one.
      for (let round = 0; round < 3; round++) {
        told.length = 0;
        await sentinels.switchOver();
        await until(
          async () => (await redis.set(`route:${round}`, "1").catch(() => "")) === "OK",
          Boolean,
          FOLLOWED_MS,
        );
        await until(() => tracked.armed && told.includes("armed"), Boolean, FOLLOWED_MS);
        await redis.set(`route:${round}`, "2");
        await until(() => told.includes(`route:${round}`));
        expect(await tracked.redis.get(`route:${round}`)).toBe("2");
      }
    } finally {
      await tracked.close();
    }
  },
  TIMEOUT_MS,
);
