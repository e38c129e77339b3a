import { ConfigError, type ConfigProblem } from "@gatehouse/shared/config-error";
import { parseHostname } from "@gatehouse/shared/hostname";
import { parseRoute } from "@gatehouse/shared/route";
import { isObject, parseDocument, withoutSecrets, type HostDocument } from "../hosts/host-document.ts";
import { routeNameOf } from "../hosts/host-words.ts";

/** Says what the file is; another shape gets another number. */
const FORMAT = "gatehouse-config/1";

/** Stands where a secret was left out. An object, because any text could be the secret itself. */
const KEPT = { $secret: "kept" };

/** What the file says of one name. A part that is missing is left as it is. */
export interface ConfigEntry {
  readonly route?: string;
  readonly config?: HostDocument;
}

/** Entries by name, in order: hostnames, and wildcards, which have a route only. */
export type ConfigEntries = ReadonlyMap<string, ConfigEntry>;

/** Returns the file's text. */
export function formatConfigFile(entries: ConfigEntries, { hasSecrets }: { hasSecrets: boolean }): string {
  const hosts = [...entries].map(([name, { route, config }]) => [
    name,
    {
      ...(route === undefined ? {} : { route }),
      ...(config === undefined ? {} : { config: hasSecrets ? config : withoutSecrets(config, KEPT) }),
    },
  ]);
  return `${JSON.stringify({ format: FORMAT, hosts: Object.fromEntries(hosts) as object }, null, 2)}\n`;
}

/**
 * Reads the file's text. The host configs are checked later, when their secrets are in place.
 * @throws {ConfigError} that lists every problem
 */
export function parseConfigFile(text: string): ConfigEntries {
  const document = parseDocument(text);
  const hosts = document?.["hosts"];
  if (document?.["format"] !== FORMAT || !isObject(hosts)) {
    throw unusable([{ key: "(file)", expected: `must be JSON with "format": "${FORMAT}" and "hosts"` }]);
  }
  const problems: ConfigProblem[] = [];
  const entries = new Map<string, ConfigEntry>();
  for (const [key, value] of Object.entries(hosts)) {
    const name = nameOf(key);
    const problem = name === undefined ? "must be a hostname, *.PARENT or *" : entryProblem(name, value);
    if (name === undefined || problem !== undefined) problems.push({ key, expected: problem ?? "" });
    else if (entries.has(name)) problems.push({ key, expected: "is there twice" });
    else entries.set(name, value as ConfigEntry);
  }
  if (problems.length > 0) throw unusable(problems);
  return entries;
}

/** Puts the secrets that are stored in the place of those that were left out. */
export function withKeptSecrets(document: HostDocument, stored: HostDocument): HostDocument {
  return Object.fromEntries(
    Object.entries(document).flatMap(([field, value]) => {
      const before = stored[field];
      // Nothing to keep: the field is left out, and the check says whether it is needed.
      if (isKept(value)) return before === undefined ? [] : [[field, before]];
      return [[field, isObject(value) ? withKeptSecrets(value, isObject(before) ? before : {}) : value]];
    }),
  );
}

function unusable(problems: readonly ConfigProblem[]): ConfigError {
  return new ConfigError("the file can't be used", problems);
}

function nameOf(key: string): string | undefined {
  try {
    return routeNameOf(key);
  } catch {
    return undefined; // no name of a route: listed with the others
  }
}

function entryProblem(name: string, value: unknown): string | undefined {
  if (!isObject(value)) return 'must be an object with "route" and "config"';
  const unknown = Object.keys(value).find((key) => key !== "route" && key !== "config");
  if (unknown !== undefined) return `has ${JSON.stringify(unknown)}, which is neither "route" nor "config"`;
  const { route, config } = value;
  if (config !== undefined && (!isObject(config) || !parseHostname(name).ok))
    return `${JSON.stringify("config")} must be an object, and of a hostname`;
  if (route === undefined) return undefined;
  if (typeof route !== "string") return '"route" must be text';
  const parsed = parseRoute(route);
  return parsed.ok ? undefined : `"route": ${parsed.problem}`;
}

function isKept(value: unknown): boolean {
  return JSON.stringify(value) === JSON.stringify(KEPT);
}
