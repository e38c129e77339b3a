import type { RedisClient } from "@gatehouse/shared/redis-connection";
import type { Hostname } from "@gatehouse/shared/hostname";
import { replaceRecord } from "@gatehouse/shared/oauth-record";
import { hostConfigKey, routeKey } from "@gatehouse/shared/redis-keys";
import { changedFields, checkDocument, parseDocument, type HostDocument } from "./host-document.ts";
import { releasePorts } from "./port-claims.ts";
import { refuseWrongType } from "./refuse-wrong-type.ts";
import type { StoredHost } from "./stored-host.ts";

/** Somebody else wrote what we were about to write; a second run starts from what is there now. */
const OVERTAKEN = "was changed by somebody else meanwhile: look at it, and run this again";

/**
 * Writes a host config in the place of what was read before; an unchanged one is left alone. False when nothing had to be written.
 * @throws {ConfigError} when it can't be used, {@link Error} when somebody else was faster
 */
export async function writeConfig(
  redis: RedisClient,
  { hostname, config }: Pick<StoredHost, "hostname" | "config">,
  document: HostDocument,
): Promise<boolean> {
  const before = config === null ? undefined : parseDocument(config);
  checkDocument(hostname, document, before);
  const text = JSON.stringify(document);
  if (before !== undefined && changedFields(before, document).length === 0) return false;
  await replaceText(redis, hostConfigKey(hostname), { from: config, to: text });
  return true;
}

/**
 * Writes a route in the place of what was read before. False when it stood there already.
 * @throws {ConfigError} when what is there is no string, {@link Error} when somebody else was faster
 */
export async function writeRoute(
  redis: RedisClient,
  { name, from }: { name: string; from: string | null },
  value: string,
): Promise<boolean> {
  if (from === value) return false;
  await replaceText(redis, routeKey(name), { from, to: value });
  return true;
}

/**
 * Takes a host away: first the route, so that nobody new is sent there, then the host config, which ends its streams. May be repeated.
 * Returns what was there.
 */
export async function removeHost(
  redis: RedisClient,
  hostname: Hostname,
): Promise<{ hadRoute: boolean; hadConfig: boolean }> {
  const hadRoute = (await redis.del(routeKey(hostname))) > 0;
  const hadConfig = (await redis.del(hostConfigKey(hostname))) > 0;
  await releasePorts(redis, hostname);
  return { hadRoute, hadConfig };
}

async function replaceText(
  redis: RedisClient,
  key: string,
  { from, to }: { from: string | null; to: string },
): Promise<void> {
  refuseWrongType(from);
  const isWritten =
    from === null ? (await redis.set(key, to, "NX")) !== null : await replaceRecord(redis, key, { from, to });
  if (!isWritten) throw new Error(`${key} ${OVERTAKEN}`);
}
