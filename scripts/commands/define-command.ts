import { parseArgs } from "node:util";
import type { Environment } from "@gatehouse/shared/read-config";
import { UsageError, type Command } from "./command.ts";

/** An option of a command. */
export interface OptionSpec {
  /** What stands behind it, as the help names it; without it the option is a flag. */
  readonly value?: string;
  /** Half a line for the help. */
  readonly describe: string;
}

/** What was typed, checked against the definition. */
export interface CommandInput<Name extends string> {
  /** What stands behind the verb; every word that the definition asks for is there. */
  readonly words: readonly string[];
  readonly env: Environment;
  readonly isJson: boolean;
  isGiven(option: Name): boolean;
  /** The value of an option, the last one when it is given again. */
  text(option: Name): string | undefined;
  /** Every value of an option, in order. */
  texts(option: Name): readonly string[];
}

/** A command before its words are read: help, parsing and completion come from this one description. */
export interface CommandDefinition<Name extends string> {
  readonly name: string;
  /** What follows the verb: `HOST`, or `[FILE]` when it may be left out. */
  readonly words: readonly string[];
  readonly summary: string;
  readonly options: Readonly<Record<Name, OptionSpec>>;
  /** What it does, for somebody who types it for the first time. */
  readonly about: string;
  /** Whole command lines. */
  readonly examples: readonly string[];
  readonly choices?: readonly string[];
  /** True when it needs no Redis. */
  readonly isLocal?: boolean;
  run(input: CommandInput<Name>): Promise<void>;
}

const JSON_SPEC: OptionSpec = { describe: "an object a line, for programs" };
const COLUMN = 26;
const PLACE = "Needs REDIS_URL as the processes have it (else: a demo that runs here, else 127.0.0.1:6379).";

/** Makes the command: it reads its words, refuses what it does not know, and has a help. */
export function defineCommand<Name extends string>(definition: CommandDefinition<Name>): Command {
  const { name, summary, options, choices } = definition;
  return {
    name,
    summary,
    help: helpOf(definition),
    options: [...Object.keys(options), "json", "help"].map((option) => `--${option}`),
    ...(choices === undefined ? {} : { choices }),
    async run(args, env) {
      await definition.run(readInput(definition, args, env));
    },
  };
}

function readInput<Name extends string>(
  definition: CommandDefinition<Name>,
  args: readonly string[],
  env: Environment,
): CommandInput<Name> {
  const { values, positionals } = parsed(definition, args);
  const { name, words } = definition;
  const needed = words.filter((word) => !word.startsWith("[")).length;
  if (positionals.length < needed || positionals.length > words.length) {
    const wanted = words.length === 0 ? "no further word" : words.join(" ");
    throw new UsageError(`${name} takes ${wanted}, as in: ${definition.examples[0]}`);
  }
  const textsOf = (option: Name): readonly string[] => values.get(option) ?? [];
  return {
    words: positionals,
    env,
    isJson: values.has("json"),
    isGiven: (option) => values.has(option),
    text: (option) => textsOf(option).at(-1),
    texts: textsOf,
  };
}

function parsed(definition: CommandDefinition<string>, args: readonly string[]) {
  const specs = Object.entries<OptionSpec>({ ...definition.options, json: JSON_SPEC });
  const options = Object.fromEntries(
    specs.map(([option, { value }]) => [
      option,
      { type: value === undefined ? ("boolean" as const) : ("string" as const), multiple: true },
    ]),
  );
  try {
    const { values, positionals } = parseArgs({ args: args.map(shielded), allowPositionals: true, options });
    const texts = new Map<string, readonly string[]>();
    for (const [option, given] of Object.entries(values))
      texts.set(
        option,
        [given].flat().map((value) => unshielded(String(value))),
      );
    return { values: texts, positionals: positionals.map(unshielded) };
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Options are two dashes and small letters. Ids are base64url, and one in 64 begins with a dash: that is no option. No argument holds a NUL. */
function shielded(word: string): string {
  return word.startsWith("-") && !/^--(?:[a-z-]+(?:=|$)|$)/.test(word) ? `\0${word}` : word;
}

function unshielded(word: string): string {
  return word.startsWith("\0") ? word.slice(1) : word;
}

function helpOf(definition: CommandDefinition<string>): string {
  const { name, words, options, about, examples } = definition;
  const lines = Object.entries<OptionSpec>({ ...options, json: JSON_SPEC }).map(
    ([option, { value, describe }]) =>
      `  ${`--${option}${value === undefined ? "" : ` ${value}`}`.padEnd(COLUMN)} ${describe}`,
  );
  return [
    `Usage: ${["gatehouse", name, ...words, "[OPTION...]"].join(" ")}`,
    "",
    about,
    "",
    ...lines,
    "",
    ...(definition.isLocal === true ? [] : [PLACE]),
    "Exit status: 0, 1 failed, 2 the words can't be used, 78 a configuration can't be used.",
    "",
    ...examples.map((example) => `Example: ${example}`),
  ].join("\n");
}
