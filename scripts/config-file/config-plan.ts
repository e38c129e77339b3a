import type { RedisClient } from "@gatehouse/shared/redis-connection";
import { ConfigError, type ConfigProblem } from "@gatehouse/shared/config-error";
import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { routeKey } from "@gatehouse/shared/redis-keys";
import { wrongTypeOf } from "@gatehouse/shared/stored-text";
import { changedFields, parseDocument, parseWritable, type HostDocument } from "../hosts/host-document.ts";
import { removeHost, writeConfig, writeRoute } from "../hosts/host-writer.ts";
import { refuseWrongType } from "../hosts/refuse-wrong-type.ts";
import { readHosts, readRoutes } from "../hosts/stored-host.ts";
import { withKeptSecrets, type ConfigEntries, type ConfigEntry } from "./config-file.ts";

/** What is stored for one name. */
interface Stored {
  readonly config: string | null;
  readonly route: string | null;
}

/** What is to be done about one name. */
export interface ConfigChange {
  readonly name: string;
  /** Undefined for a wildcard. */
  readonly hostname: Hostname | undefined;
  readonly kind: "add" | "change" | "remove";
  /** A line for each difference, secrets masked. */
  readonly lines: readonly string[];
  readonly stored: Stored;
  readonly route: string | undefined;
  readonly document: HostDocument | undefined;
}

export interface ConfigPlan {
  readonly changes: readonly ConfigChange[];
  /** Names that are stored and not in the file; removed only when asked for. */
  readonly others: readonly string[];
}

const ABSENT: Stored = { config: null, route: null };

/** Returns every name with what is stored for it, sorted. */
export async function readEverything(redis: RedisClient): Promise<Map<string, Stored>> {
  const found = new Map<string, Stored>();
  for (const { hostname, config, route } of await readHosts(redis)) found.set(hostname, { config, route });
  for (const { name, value } of await readRoutes(redis))
    found.set(name, { config: found.get(name)?.config ?? null, route: value });
  return new Map([...found].sort(([one], [other]) => (one < other ? -1 : 1)));
}

/**
 * Returns what is stored as the file holds it.
 * @throws {ConfigError} for host configs that are no JSON objects and routes that are no strings: leaving them out would lose them
 */
export function entriesOf(stored: ReadonlyMap<string, Stored>): ConfigEntries {
  const problems: ConfigProblem[] = [];
  const entries = new Map<string, ConfigEntry>();
  for (const [name, { config, route }] of stored) {
    const document = config === null ? undefined : parseDocument(config);
    const routeType = route === null ? undefined : wrongTypeOf(route)?.type;
    if (routeType !== undefined)
      problems.push({ key: name, expected: "its route must be a string", got: routeType });
    if (config !== null && document === undefined)
      problems.push({ key: name, expected: "its host config must be a JSON object" });
    entries.set(name, {
      ...(route === null ? {} : { route }),
      ...(document === undefined ? {} : { config: document }),
    });
  }
  if (problems.length > 0) throw new ConfigError("what is stored can't be exported", problems);
  return entries;
}

/**
 * Returns what would have to be done for the file to hold.
 * @throws {ConfigError} that lists every problem of every host
 */
export function planOf(
  entries: ConfigEntries,
  stored: ReadonlyMap<string, Stored>,
  { isPruned }: { isPruned: boolean },
): ConfigPlan {
  const problems: ConfigProblem[] = [];
  const changes: ConfigChange[] = [];
  for (const [name, entry] of entries) {
    const change = changeOf(name, entry, stored.get(name) ?? ABSENT);
    const { config, route } = change.stored;
    refuseWrongType(change.document === undefined ? null : config, change.route === undefined ? null : route);
    if (change.document !== undefined) {
      const parsed = parseWritable(
        change.document,
        (config === null ? undefined : parseDocument(config)) ?? {},
      );
      if (!parsed.ok)
        problems.push(...parsed.problems.map((problem) => ({ ...problem, key: `${name}: ${problem.key}` })));
    }
    if (change.lines.length > 0) changes.push(change);
  }
  if (problems.length > 0) throw new ConfigError("the file can't be used", problems);
  const others = [...stored.keys()].filter((name) => !entries.has(name));
  if (isPruned) changes.push(...others.map((name) => removalOf(name, stored.get(name) ?? ABSENT)));
  return { changes, others };
}

/** Does it, one name after the other. What fails in the middle is completed by the next run. */
export async function carryOut(redis: RedisClient, { changes }: ConfigPlan): Promise<void> {
  for (const { name, hostname, kind, stored, route, document } of changes) {
    if (kind === "remove") {
      if (hostname === undefined) await redis.del(routeKey(name));
      else await removeHost(redis, hostname);
      continue;
    }
    if (hostname !== undefined && document !== undefined)
      await writeConfig(redis, { hostname, config: stored.config }, document);
    if (route !== undefined) await writeRoute(redis, { name, from: stored.route }, route);
  }
}

function changeOf(name: string, entry: ConfigEntry, stored: Stored): ConfigChange {
  const before = (stored.config === null ? undefined : parseDocument(stored.config)) ?? {};
  const document = entry.config && withKeptSecrets(entry.config, before);
  const lines = document === undefined ? [] : changedFields(before, document);
  if (entry.route !== undefined && entry.route !== stored.route)
    lines.push(`route: ${stored.route ?? "(not set)"} -> ${entry.route}`);
  const isNew = stored.config === null && stored.route === null;
  return { ...named(name), kind: isNew ? "add" : "change", lines, stored, route: entry.route, document };
}

function removalOf(name: string, stored: Stored): ConfigChange {
  const lines = [`route: ${stored.route ?? "(not set)"} -> (removed)`];
  if (stored.config !== null) lines.push("config: (removed)");
  return { ...named(name), kind: "remove", lines, stored, route: undefined, document: undefined };
}

function named(name: string): { name: string; hostname: Hostname | undefined } {
  const parsed = parseHostname(name);
  return { name, hostname: parsed.ok ? parsed.hostname : undefined };
}
