import { parseHostname, type Hostname } from "@gatehouse/shared/hostname";
import { splitList } from "@gatehouse/shared/read-config";
import { parseRoute } from "@gatehouse/shared/route";
import { UsageError } from "../commands/command.ts";
import type { CommandInput, OptionSpec } from "../commands/define-command.ts";
import { parseAssignment, type HostDocument } from "./host-document.ts";

/** Options of `host add` and `host set`: short words for the fields that nearly every host has, and `--set` for all of them. */
export const FIELD_OPTIONS = {
  target: { value: "URL", describe: "where requests go: http://, https:// or unix:/path" },
  auth: { describe: "protect it: everyone needs a token, and --require says who may log in" },
  "no-auth": { describe: "open it" },
  require: { value: "USER,…", describe: "logins, id:N, org:NAME, team:ORG/SLUG, or * for everyone" },
  admin: { value: "USER,…", describe: "who gets the scope admin" },
  certificate: { value: "SOURCE", describe: "acme, stored or file" },
  set: {
    value: "NAME=VALUE",
    describe: "any field of the host config: JSON, text, or @FILE; may be repeated",
  },
} as const satisfies Readonly<Record<string, OptionSpec>>;

export type FieldOption = keyof typeof FIELD_OPTIONS;

/**
 * Returns the fields that were given.
 * @throws {UsageError} for a field that is given in two ways
 */
export function fieldsOf(input: CommandInput<FieldOption>): HostDocument {
  const fields = new Map<string, unknown>();
  const give = (name: string, value: unknown): void => {
    if (fields.has(name)) throw new UsageError(`${name} is given twice`);
    fields.set(name, value);
  };
  const text = (option: FieldOption, name: string): void => {
    const value = input.text(option);
    if (value !== undefined) give(name, value);
  };
  const list = (option: FieldOption, name: string): void => {
    const value = input.text(option);
    if (value !== undefined) give(name, splitList(value));
  };
  text("target", "target_url");
  if (input.isGiven("auth")) give("auth_enabled", true);
  if (input.isGiven("no-auth")) give("auth_enabled", false);
  list("require", "auth_required_users");
  list("admin", "oauth_admin_users");
  text("certificate", "certificate");
  for (const assignment of input.texts("set")) give(...parseAssignment(assignment));
  return Object.fromEntries(fields);
}

/** @throws {UsageError} when the word is no hostname */
export function hostnameOf(word: string | undefined): Hostname {
  const parsed = parseHostname(word ?? "");
  if (parsed.ok) return parsed.hostname;
  throw new UsageError(`${JSON.stringify(word ?? "")} is no hostname (${parsed.problem})`);
}

/**
 * Returns the name a route may be filed under: a hostname, `*.parent` or `*`.
 * @throws {UsageError} when it is none
 */
export function routeNameOf(word: string | undefined): string {
  if (word === "*") return word;
  return word?.startsWith("*.") ? `*.${hostnameOf(word.slice(2))}` : hostnameOf(word);
}

/** @throws {UsageError} when it is no route value */
export function routeValueOf(text: string): string {
  const parsed = parseRoute(text);
  if (parsed.ok) return text;
  throw new UsageError(`the route can't be used: ${parsed.problem}`);
}
