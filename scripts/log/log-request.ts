import { parseArgs } from "node:util";
import { AddressList } from "@gatehouse/shared/address";
import { parseHostname } from "@gatehouse/shared/hostname";
import { LEVELS } from "@gatehouse/shared/log-record";
import type { RecordFilter } from "@gatehouse/shared/record-filter";
import { UsageError } from "../commands/command.ts";
import { MOMENT_FORMS, parseMoment } from "./moment.ts";

/** What `gatehouse log` was asked for. */
export interface LogRequest {
  readonly filter: RecordFilter;
  /** What is asked for, in words for a sentence: `about 192.0.2.7`; empty for everything. */
  readonly words: string;
  /** Records at most; undefined for all there are. */
  readonly limit: number | undefined;
  readonly isJson: boolean;
  readonly isFollowing: boolean;
}

/** One way to narrow down: as a verb with its value, and as an option of every verb. */
interface Criterion {
  /** What the value must be, for messages. */
  readonly expected: string;
  /** Taken when the verb stands without a value. */
  readonly fallback?: string;
  readonly read: (text: string) => Partial<RecordFilter> | undefined;
  readonly words: (text: string) => string;
}

/** The longest page: it is held in memory, because its newest record stands last. */
const MAX_PAGE = 10_000;
const DEFAULT_LIMIT = 100;
/** What a follower shows of the past before it waits. */
const FOLLOW_LIMIT = 10;

const about = (text: string): string => `about ${text}`;
const idOf = (prefix: string, member: "req" | "conn"): Criterion => ({
  expected: `an id as records print it: ${prefix}…`,
  read: (text) => (text.startsWith(prefix) ? { [member]: text } : undefined),
  words: about,
});

/** In the order in which words say them. */
export const CRITERIA = {
  ip: {
    expected: "an IPv4 or IPv6 address, or a CIDR block such as 10.0.0.0/8",
    read: (text) => (AddressList.parse([text]).ok ? { ip: text } : undefined),
    words: about,
  },
  hostname: {
    expected: "a hostname",
    read: (text) => {
      const parsed = parseHostname(text);
      return parsed.ok ? { hostname: parsed.hostname } : undefined;
    },
    words: about,
  },
  user: {
    expected: "a login such as octocat, or a provider's id such as github:583231",
    read: (text) => (text === "" ? undefined : { user: text }),
    words: about,
  },
  client: {
    expected: "a client_id",
    read: (text) => (text === "" ? undefined : { clientId: text }),
    words: about,
  },
  request: idOf("req-", "req"),
  connection: idOf("c-", "conn"),
  status: {
    expected: "a status such as 404, a class such as 4xx, or a range such as 400-499",
    read: readStatus,
    words: (text) => `of status ${text}`,
  },
  level: {
    expected: `one of ${LEVELS.join(", ")}`,
    read: (text) => {
      const level = LEVELS.find((each) => each === text);
      return level === undefined ? undefined : { level };
    },
    words: (text) => `of level ${text} or above`,
  },
  slow: {
    expected: "milliseconds",
    fallback: "1000",
    read: (text) => (/^\d{1,9}$/.test(text) ? { slowMs: Number(text) } : undefined),
    words: (text) => `of requests that took ${text} ms or longer`,
  },
} as const satisfies Record<string, Criterion>;

type CriterionName = keyof typeof CRITERIA;
const NAMES = Object.keys(CRITERIA) as CriterionName[];

/** Every option with its dashes. */
export const LOG_OPTIONS: readonly string[] = [
  ...NAMES,
  ..."since until limit errors follow json help".split(" "),
].map((name) => `--${name}`);

/** The verbs of `gatehouse log`: a criterion, or one of those that need no value. */
export type LogVerb = Exclude<CriterionName, "level"> | "errors" | "follow";

/**
 * Reads the words behind `gatehouse log VERB`.
 * @throws {UsageError} that says which word, and what was expected
 */
export function readLogRequest(verb: LogVerb, args: readonly string[], now: number): LogRequest {
  const { values, positionals } = parsed(args);
  const given = new Map<CriterionName, string>();
  for (const name of NAMES) {
    const value = values[name];
    if (value !== undefined) given.set(name, value);
  }
  if (values.errors || verb === "errors") given.set("level", "error");
  if (verb === "errors" || verb === "follow") takeNoValue(verb, positionals);
  else given.set(verb, valueOf(verb, positionals));
  const isFollowing = values.follow || verb === "follow";
  return {
    filter: { ...filterOf(given), ...windowOf(values, now) },
    words: wordsOf(given, values),
    limit: limitOf(values.limit ?? String(isFollowing ? FOLLOW_LIMIT : DEFAULT_LIMIT)),
    isJson: values.json,
    isFollowing,
  };
}

function parsed(args: readonly string[]) {
  const text = { type: "string" } as const;
  const flag = { type: "boolean", default: false } as const;
  const criteria = Object.fromEntries(NAMES.map((name) => [name, text])) as Record<
    CriterionName,
    typeof text
  >;
  const options = {
    ...criteria,
    since: text,
    until: text,
    limit: text,
    errors: flag,
    json: flag,
    follow: flag,
  };
  try {
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function takeNoValue(verb: LogVerb, positionals: readonly string[]): void {
  const [word] = positionals;
  if (word !== undefined) {
    throw new UsageError(
      `log ${verb} takes no value, and got ${JSON.stringify(word)}; narrow it down with --ip, --hostname and the like`,
    );
  }
}

function valueOf(verb: CriterionName, positionals: readonly string[]): string {
  const criterion: Criterion = CRITERIA[verb];
  const [value = criterion.fallback, ...more] = positionals;
  if (value === undefined || more.length > 0) {
    throw new UsageError(`log ${verb} takes one value: ${criterion.expected}`);
  }
  return value;
}

function filterOf(given: ReadonlyMap<CriterionName, string>): RecordFilter {
  const parts = [...given].map(([name, text]) => {
    const { read, expected }: Criterion = CRITERIA[name];
    const part = read(text);
    if (part === undefined) throw new UsageError(`${name} must be ${expected}; got ${JSON.stringify(text)}`);
    return part;
  });
  return Object.assign({}, ...parts) as RecordFilter;
}

function windowOf(
  { since, until }: { readonly since?: string; readonly until?: string },
  now: number,
): Pick<RecordFilter, "since" | "until"> {
  const from = momentOf("since", since, now);
  const to = momentOf("until", until, now);
  if (from !== undefined && to !== undefined && from >= to) {
    throw new UsageError("--since must be before --until");
  }
  return { ...(from === undefined ? {} : { since: from }), ...(to === undefined ? {} : { until: to }) };
}

function momentOf(option: string, text: string | undefined, now: number): number | undefined {
  if (text === undefined) return undefined;
  const moment = parseMoment(text, now);
  if (moment === undefined)
    throw new UsageError(`--${option} must be ${MOMENT_FORMS}; got ${JSON.stringify(text)}`);
  return moment;
}

function limitOf(text: string): number | undefined {
  if (text === "all") return undefined;
  const limit = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (limit <= MAX_PAGE) return limit;
  throw new UsageError(
    `--limit must be a number up to ${MAX_PAGE}, or all (oldest first); got ${JSON.stringify(text)}`,
  );
}

function wordsOf(
  given: ReadonlyMap<CriterionName, string>,
  { since, until }: { readonly since?: string; readonly until?: string },
): string {
  const criteria = NAMES.flatMap((name) => {
    const text = given.get(name);
    return text === undefined ? [] : CRITERIA[name].words(text);
  });
  if (since !== undefined) criteria.push(`since ${since}`);
  if (until !== undefined) criteria.push(`until ${until}`);
  return criteria.join(" ");
}

function readStatus(text: string): Partial<RecordFilter> | undefined {
  const wide = /^([1-9])xx$/i.exec(text)?.[1];
  if (wide !== undefined) return { status: { from: Number(wide) * 100, to: Number(wide) * 100 + 99 } };
  const [, from, to = from] = /^(\d{3})(?:-(\d{3}))?$/.exec(text) ?? [];
  if (from === undefined || to === undefined || Number(from) > Number(to)) return undefined;
  return { status: { from: Number(from), to: Number(to) } };
}
