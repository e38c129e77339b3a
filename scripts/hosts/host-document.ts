import { ConfigError, describeProblem } from "@gatehouse/shared/config-error";
import {
  parseHostConfig,
  SECRET_FIELDS,
  type HostConfig,
  type HostConfigParse,
} from "@gatehouse/shared/host-config";
import type { Hostname } from "@gatehouse/shared/hostname";
import { UsageError } from "../commands/command.ts";
import { givenFile } from "../commands/given-file.ts";
import { documentProblems } from "./document-rules.ts";

/** A host config as it is stored, before its defaults are filled in. */
export type HostDocument = Readonly<Record<string, unknown>>;

/** Stands where a secret was left out, for people. */
const MASK = "(secret)";

/** A header that carries a credential to the upstream, by how such headers are named. */
const CREDENTIAL_HEADER = /auth|cookie|key|pass|secret|token/i;

/** Reads a stored document; undefined when it is no JSON object. Never throws, and never quotes: it may hold secrets. */
export function parseDocument(text: string): HostDocument | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Reads a document that is to be written. What an instance would take and {@link documentProblems} would not may stand there already,
 * from before: then it is no reason to refuse another change, least of all one that closes the host.
 * @param stored the document in whose place it is written
 */
export function parseWritable(document: HostDocument, stored: HostDocument = {}): HostConfigParse {
  const parsed = parseHostConfig(JSON.stringify(document));
  if (!parsed.ok) return parsed;
  const before = parseHostConfig(JSON.stringify(stored));
  const known = new Set(before.ok ? documentProblems(before.config).map(describeProblem) : []);
  const problems = documentProblems(parsed.config).filter((problem) => !known.has(describeProblem(problem)));
  return problems.length > 0 ? { ok: false, problems } : parsed;
}

/**
 * Returns the host config with its defaults.
 * @throws {ConfigError} that lists every problem that {@link parseWritable} finds
 */
export function checkDocument(hostname: Hostname, document: HostDocument, stored?: HostDocument): HostConfig {
  const parsed = parseWritable(document, stored);
  if (parsed.ok) return parsed.config;
  throw new ConfigError(`the host config of ${hostname} can't be used`, parsed.problems);
}

/** Returns the document without its secrets: client secrets, and headers that carry a credential. `mask` stands in their place. */
export function withoutSecrets(document: HostDocument, mask: unknown = MASK): HostDocument {
  return Object.fromEntries(
    Object.entries(document).map(([field, value]) => {
      if (SECRET_FIELDS.has(field)) return [field, mask];
      if (field !== "custom_headers" || !isObject(value)) return [field, value];
      const headers = Object.entries(value).map(([name, text]) => [
        name,
        CREDENTIAL_HEADER.test(name) ? mask : text,
      ]);
      return [field, Object.fromEntries(headers) as HostDocument];
    }),
  );
}

/** Returns one line for each field that differs, secrets masked; none when the documents mean the same. */
export function changedFields(before: HostDocument, after: HostDocument): string[] {
  const fields = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  const shownBefore = withoutSecrets(before);
  const shownAfter = withoutSecrets(after);
  return fields.flatMap((field) => {
    if (JSON.stringify(before[field]) === JSON.stringify(after[field])) return [];
    return [`${field}: ${shown(shownBefore[field])} -> ${shown(shownAfter[field])}`];
  });
}

/**
 * Reads `name=value` as an operator types it: JSON, a text that is no JSON as it stands, or `@FILE` for the content of a file, because what
 * is on a command line every user of the machine can read.
 * @throws {UsageError} when it has no name, or the file can't be read
 */
export function parseAssignment(text: string): readonly [string, unknown] {
  const [, name, value = ""] = /^(\w+)=([^]*)$/.exec(text) ?? [];
  if (name === undefined) throw new UsageError(`--set takes name=value, and got ${JSON.stringify(text)}`);
  if (value.startsWith("@")) return [name, givenFile(value.slice(1)).trimEnd()];
  try {
    return [name, JSON.parse(value)];
  } catch {
    return [name, value];
  }
}

/** True for a JSON object. */
export function isObject(value: unknown): value is HostDocument {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shown(value: unknown): string {
  return value === undefined ? "(not set)" : JSON.stringify(value);
}
