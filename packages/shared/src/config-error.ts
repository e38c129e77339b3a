/** Exit status of a process whose configuration can't be used (EX_CONFIG of sysexits). */
export const EXIT_CONFIG = 78;

/** One thing wrong with a configuration. Never holds a secret's value. */
export interface ConfigProblem {
  readonly key: string;
  readonly expected: string;
  /** What was found: quoted where it can't be a secret, else what kind of thing it is. */
  readonly got?: string;
}

/** Every problem of a configuration at once; a process that meets one at start prints it and exits with {@link EXIT_CONFIG}. */
export class ConfigError extends Error {
  readonly problems: readonly ConfigProblem[];

  constructor(what: string, problems: readonly ConfigProblem[]) {
    super(`${what}:\n${problems.map((problem) => `  ${describeProblem(problem)}`).join("\n")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** Returns the problem as one line. */
export function describeProblem({ key, expected, got }: ConfigProblem): string {
  return `${key}: ${expected}${got === undefined ? "" : `, got ${got}`}`;
}
