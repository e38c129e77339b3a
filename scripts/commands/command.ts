import type { Environment } from "@gatehouse/shared/read-config";

/** The words of the command can't be used; the message says which, and what was expected. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** One command of the command line. */
export interface Command {
  /** Noun and verb, as typed; a few have the noun only. */
  readonly name: string;
  /** Half a line for the overview. */
  readonly summary: string;
  /** The whole of `--help`, with an example. */
  readonly help: string;
  /** Its options with their dashes, for completion. */
  readonly options: readonly string[];
  /** Words that complete what follows the verb, when they are a closed set. */
  readonly choices?: readonly string[];
  /**
   * Does it, and prints what it did to stdout.
   * @throws {UsageError} for its words, {@link ConfigError} for its environment, anything else when it failed
   */
  run(args: readonly string[], env: Environment): Promise<void>;
}
