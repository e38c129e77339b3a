import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Something that takes octets from strangers, and what must hold whatever they are. */
export interface FuzzTarget {
  readonly name: string;
  /** How the names of the source files end whose blocks guide the search. */
  readonly guides: readonly string[];
  /** Where the search starts; regressions and kept inputs come on top. */
  readonly seeds: readonly Buffer[];
  /** Words of the format, which no random octet would hit. */
  readonly dictionary: readonly string[];
  /** Longest input in octets. */
  readonly maxBytes: number;
  /** Throws, or rejects, when an invariant does not hold; so does code that throws at all. */
  readonly check: (input: Buffer) => void | Promise<void>;
}

/** Text as octets, one for each character. */
export function latin1(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/**
 * The inputs of `<directory>/regressions/<name>.txt` (each once broke an invariant) and `<directory>/kept/<name>.txt` (together they reach what
 * long runs have reached): one JSON string a line, one character for each octet; `#` begins a comment.
 */
export function keptInputs(
  directory: string,
  name: string,
  kinds: readonly string[] = ["regressions", "kept"],
): Buffer[] {
  return kinds.flatMap((kind) => {
    const file = join(directory, kind, `${name}.txt`);
    if (!existsSync(file)) return [];
    const lines = readFileSync(file, "utf8").split("\n");
    return lines
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => latin1(JSON.parse(line) as string));
  });
}

/** An input as one line of such a file: printable ASCII only. */
export function inputLine(input: Buffer): string {
  return JSON.stringify(input.toString("latin1")).replaceAll(
    /[\u007f-\u00ff]/g,
    (character) => `\\u00${character.charCodeAt(0).toString(16)}`,
  );
}

/** What is wrong with an input, if anything. */
export async function problemOf(target: FuzzTarget, input: Buffer): Promise<string | undefined> {
  try {
    const pending = target.check(input);
    if (pending !== undefined) await pending;
    return undefined;
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : `threw ${String(error)}`;
  }
}

/** Throws unless two values are the same as JSON; the message shows both. */
export function expectSame(what: string, ...[actual, expected]: [unknown, unknown]): void {
  const [left, right] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (left !== right) throw new Error(`${what}: ${left} is not ${right}`);
}

/** Throws unless the condition holds. */
export function expectThat(what: string, holds: boolean): void {
  if (!holds) throw new Error(what);
}
