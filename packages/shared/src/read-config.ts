import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AddressList } from "./address.ts";
import { ConfigError, type ConfigProblem } from "./config-error.ts";
import { parseHostname, type Hostname } from "./hostname.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** One option of a process: read once, at the edge, from one variable. Documentation tables and env examples are printed from it. */
export interface Option<T> {
  readonly env: string;
  /** One sentence for the operator, with the unit. */
  readonly describe: string;
  /** What a value must be, as it stands in the error text and in the tables: "an integer from 1 to 65535". */
  readonly expected: string;
  /** Text form of the default; undefined when the option is required or may be absent (see {@link Option.required}). */
  readonly fallback: string | undefined;
  readonly required: boolean;
  /** A secret is also read from the file named by `{env}_FILE` and from a systemd credential of the same name; its value is never shown. */
  readonly secret: boolean;
  /** Returns the value, or undefined when the text does not fit. */
  readonly parse: (text: string) => T | undefined;
}

export type OptionSet = Readonly<Record<string, Option<unknown>>>;
export type ConfigOf<S extends OptionSet> = {
  readonly [K in keyof S]: S[K] extends Option<infer T> ? T : never;
};

interface Described {
  readonly env: string;
  readonly describe: string;
}

/** An integer option; name the unit in the variable (`…_MS`, `…_SECONDS`, `…_BYTES`). */
export function integerOption(
  option: Described & { readonly min: number; readonly max: number; readonly fallback: number },
): Option<number> {
  const { min, max } = option;
  return {
    ...option,
    expected: `an integer from ${min} to ${max}`,
    fallback: String(option.fallback),
    required: false,
    secret: false,
    parse: (text) => {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
      return value >= min && value <= max ? value : undefined;
    },
  };
}

/** A text option held to a rule; without fallback it must be given. */
export function textOption<T>(
  option: Described & {
    readonly expected: string;
    readonly parse: (text: string) => T | undefined;
    readonly fallback?: string;
    readonly secret?: boolean;
  },
): Option<T> {
  return {
    ...option,
    fallback: option.fallback,
    required: option.fallback === undefined,
    secret: option.secret ?? false,
  };
}

/** The same option, but undefined when it is not given. */
export function optional<T>(option: Option<T>): Option<T | undefined> {
  return { ...option, fallback: undefined, required: false };
}

/** One of a few words. */
export function wordOption<const W extends string>(
  option: Described & { readonly words: readonly W[]; readonly fallback: W },
): Option<W> {
  return textOption({
    ...option,
    expected: `one of ${option.words.join(", ")}`,
    parse: (text) => option.words.find((word) => word === text),
  });
}

/** A hostname, canonical. */
export function hostnameOption(option: Described): Option<Hostname> {
  return textOption({
    ...option,
    expected: "a hostname",
    parse: (text) => {
      const parsed = parseHostname(text);
      return parsed.ok ? parsed.hostname : undefined;
    },
  });
}

/** Addresses and CIDR blocks, comma separated; empty text is the empty list. */
export function addressListOption(option: Described & { readonly fallback: string }): Option<AddressList> {
  return textOption({
    ...option,
    expected: "addresses or CIDR blocks, comma separated",
    parse: (text) => {
      const parsed = AddressList.parse(splitList(text));
      return parsed.ok ? parsed.list : undefined;
    },
  });
}

/** Splits a comma-separated list; surrounding space and empty members are dropped. */
export function splitList(text: string): string[] {
  return text
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

/**
 * Returns a frozen object with every option of the set.
 * @throws {ConfigError} that lists every problem at once.
 */
export function readConfig<S extends OptionSet>(options: S, env: Environment): ConfigOf<S> {
  const problems: ConfigProblem[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, option] of Object.entries(options)) {
    const text = readText(option, { env, problems });
    if (text === undefined) continue;
    const value = text === null ? undefined : option.parse(text);
    if (value === undefined && text !== null) {
      problems.push({ key: option.env, expected: `must be ${option.expected}`, ...shown(option, text) });
    }
    values[name] = value;
  }
  if (problems.length > 0) throw new ConfigError("configuration can't be used", problems);
  return Object.freeze(values) as ConfigOf<S>;
}

/** Text of the option, null when absent and allowed to be, undefined when a problem was noted. */
function readText(
  option: Option<unknown>,
  from: { env: Environment; problems: ConfigProblem[] },
): string | null | undefined {
  const given = from.env[option.env];
  // An empty variable is how an env file says "not set".
  if (given !== undefined && given !== "") return given;
  if (option.secret) {
    const fromFile = readSecretFile(option, from);
    if (fromFile !== null) return fromFile;
  }
  if (option.fallback !== undefined) return option.fallback;
  if (!option.required) return null;
  from.problems.push({ key: option.env, expected: `is required: ${option.expected}` });
  return undefined;
}

function readSecretFile(
  option: Option<unknown>,
  { env, problems }: { env: Environment; problems: ConfigProblem[] },
): string | null | undefined {
  const named = env[`${option.env}_FILE`];
  const credentials = env["CREDENTIALS_DIRECTORY"];
  const path = named ?? (credentials === undefined ? undefined : join(credentials, option.env));
  if (path === undefined) return null;
  try {
    const text = readFileSync(path, "utf8").trim();
    // A unit names every credential that there may be, and gives an empty one for what is not set; a file that was named is meant.
    return text === "" && named === undefined ? null : text;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // A credentials directory need not hold every secret; a file that was named must be there.
    if (named === undefined && code === "ENOENT") return null;
    problems.push({
      key: `${option.env}_FILE`,
      expected: `must name a readable file (${code})`,
      got: JSON.stringify(path),
    });
    return undefined;
  }
}

function shown(option: Option<unknown>, text: string): { got?: string } {
  return option.secret ? {} : { got: JSON.stringify(text.slice(0, 120)) };
}
