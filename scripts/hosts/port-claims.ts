import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { PORT_CLAIMS_KEY } from "@gatehouse/shared/redis-keys";
import { parseRoute } from "@gatehouse/shared/route";
import { probeTarget } from "../status/target-status.ts";
import { readRoutes } from "./stored-host.ts";

/** Ports that instances are given (contract section 7). */
const FIRST_PORT = 13_000;
const LAST_PORT = 13_999;

/** A claim of a `host add` that never wrote its route: after so long it is over, and somebody else may have the port. */
const ABANDONED_AFTER_MS = 10 * 60_000;

/** One key only, so that it also runs on a Redis Cluster: takes a port from exactly the claim that was found abandoned. */
const TAKE_OVER = `
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1`;

const RELEASE = `
local claims = redis.call('HGETALL', KEYS[1])
local released = 0
for i = 1, #claims, 2 do
  if string.match(claims[i + 1], '^(%S+) ') == ARGV[1] then
    released = released + redis.call('HDEL', KEYS[1], claims[i])
  end
end
return released`;

/**
 * Returns a port that belongs to this hostname alone. A free route is not enough to go by: of two hosts that are added at once both
 * would see the port free, and their routes are two keys. So a port is first claimed in one hash (`HSETNX`, one key, one winner), and
 * routes that operators wrote by hand are looked at as well.
 * @throws {Error} when all of them are taken
 */
export async function claimPort(redis: RedisClient, hostname: Hostname, now: number): Promise<number> {
  const routed = await routedPorts(redis);
  for (const [port, claim] of Object.entries(await redis.hgetall(PORT_CLAIMS_KEY))) {
    if (holderOf(claim) !== hostname || !isForUs(routed.get(Number(port)), hostname)) continue;
    // Made young again, so that nobody finds it abandoned while we go on.
    if (await isTakenOver(redis, { port, from: claim, to: `${hostname} ${now}` })) return Number(port);
  }
  for (let port = FIRST_PORT; port <= LAST_PORT; port += 1) {
    if (routed.has(port) || (await isInUse(port))) continue;
    if (await isClaimed(redis, { port, hostname, now })) return port;
  }
  throw new Error(
    `no port from ${FIRST_PORT} to ${LAST_PORT} is free; give one with --route, or leave out --port for a socket`,
  );
}

/** Gives back what a hostname has claimed. */
export async function releasePorts(redis: RedisClient, hostname: Hostname): Promise<void> {
  await redis.eval(RELEASE, 1, PORT_CLAIMS_KEY, hostname);
}

async function isClaimed(
  redis: RedisClient,
  { port, hostname, now }: { port: number; hostname: Hostname; now: number },
): Promise<boolean> {
  const claim = `${hostname} ${now}`;
  if ((await redis.hsetnx(PORT_CLAIMS_KEY, String(port), claim)) === 1) return true;
  const found = await redis.hget(PORT_CLAIMS_KEY, String(port));
  const claimedAt = Number(found?.split(" ")[1]);
  // No route leads to the port, or we would not be here: whoever claimed it was about to write one, or has died since.
  if (found === null || now - claimedAt < ABANDONED_AFTER_MS) return false;
  return await isTakenOver(redis, { port: String(port), from: found, to: claim });
}

async function isTakenOver(
  redis: RedisClient,
  { port, from, to }: { port: string; from: string; to: string },
): Promise<boolean> {
  return (await redis.eval(TAKE_OVER, 1, PORT_CLAIMS_KEY, port, from, to)) === 1;
}

function holderOf(claim: string): string | undefined {
  return claim.split(" ")[0];
}

function isForUs(names: readonly string[] | undefined, hostname: Hostname): boolean {
  return names === undefined || names.every((name) => name === hostname);
}

/** Names of the routes to each port. The address is left aside: another machine's 13001 is passed over too, which costs nothing. */
async function routedPorts(redis: RedisClient): Promise<Map<number, string[]>> {
  const ports = new Map<number, string[]>();
  for (const { name, value } of await readRoutes(redis)) {
    const parsed = parseRoute(value);
    for (const target of parsed.ok ? parsed.route.targets : []) {
      if (target.kind === "tcp") ports.set(target.port, [...(ports.get(target.port) ?? []), name]);
    }
  }
  return ports;
}

/** True when some program of this machine listens there. Asked by connecting: a port that we bind to try it would be taken for others meanwhile. */
async function isInUse(port: number): Promise<boolean> {
  return (await probeTarget({ kind: "tcp", host: "127.0.0.1", port })).answers;
}
