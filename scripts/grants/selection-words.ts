import type { CommandInput, OptionSpec } from "../commands/define-command.ts";
import { UsageError } from "../commands/command.ts";
import { hostnameOf } from "../hosts/host-words.ts";
import type { Selection } from "./oauth-records.ts";

const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 100_000;

/** Options that choose records. */
export const SELECTION_OPTIONS = {
  hostname: { value: "HOST", describe: "of this host" },
  user: { value: "USER", describe: "of this login, or of this id of the provider (github:583231)" },
  client: { value: "CLIENT_ID", describe: "of this client" },
} as const satisfies Readonly<Record<string, OptionSpec>>;

export type SelectionOption = keyof typeof SELECTION_OPTIONS;

export const LIMIT_OPTION = {
  limit: { value: "N", describe: `at most so many (${DEFAULT_LIMIT})` },
} as const satisfies Readonly<Record<string, OptionSpec>>;

/** @throws {UsageError} when the hostname is none */
export function selectionOf(input: CommandInput<SelectionOption>): Selection {
  const hostname = input.text("hostname");
  const user = input.text("user");
  const client = input.text("client");
  return {
    ...(hostname === undefined ? {} : { hostname: hostnameOf(hostname) }),
    ...(user === undefined ? {} : { user }),
    ...(client === undefined ? {} : { client }),
  };
}

/** @throws {UsageError} when it is no number */
export function limitOf(input: CommandInput<"limit">): number {
  const text = input.text("limit") ?? String(DEFAULT_LIMIT);
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (limit >= 1 && limit <= MAX_LIMIT) return limit;
  throw new UsageError(`--limit must be a number from 1 to ${MAX_LIMIT}; got ${JSON.stringify(text)}`);
}

/** Takes at most `limit` of what comes; `hasMore` when there was another. */
export async function firstOf<T>(
  found: AsyncIterable<T>,
  limit: number,
): Promise<{ taken: T[]; hasMore: boolean }> {
  const taken: T[] = [];
  for await (const item of found) {
    if (taken.length === limit) return { taken, hasMore: true };
    taken.push(item);
  }
  return { taken, hasMore: false };
}
