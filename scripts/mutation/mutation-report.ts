/** The parts of Stryker's report (mutation-testing-report-schema) that are read. */
export interface StrykerReport {
  readonly files: Readonly<Record<string, { readonly source: string; readonly mutants: readonly Mutant[] }>>;
}

interface Mutant {
  readonly mutatorName: string;
  readonly replacement?: string;
  readonly status: string;
  readonly location: { readonly start: Position; readonly end: Position };
}

interface Position {
  readonly line: number;
  readonly column: number;
}

/** What came of the mutants of a file or a module. */
export interface MutationScore {
  readonly killed: number;
  readonly total: number;
  readonly survivors: readonly string[];
}

const KILLED: ReadonlySet<string> = new Set(["Killed", "Timeout"]);
/** Did not run as a program at all, so nothing can be learned from them. */
const VOID: ReadonlySet<string> = new Set(["CompileError", "RuntimeError", "Ignored"]);
const MAX_TEXT = 70;

export function scoreOf(report: StrykerReport): MutationScore {
  const all = Object.entries(report.files).flatMap(([file, { source, mutants }]) =>
    mutants.filter(({ status }) => !VOID.has(status)).map((mutant) => ({ file, source, mutant })),
  );
  const survivors = all.filter(({ mutant }) => !KILLED.has(mutant.status));
  return {
    killed: all.length - survivors.length,
    total: all.length,
    survivors: survivors.map(({ file, source, mutant }) => describeMutant(file, source, mutant)),
  };
}

export function sumOf(scores: readonly MutationScore[]): MutationScore {
  return {
    killed: scores.reduce((sum, { killed }) => sum + killed, 0),
    total: scores.reduce((sum, { total }) => sum + total, 0),
    survivors: scores.flatMap(({ survivors }) => survivors),
  };
}

function describeMutant(
  file: string,
  source: string,
  { location, replacement, mutatorName }: Mutant,
): string {
  const { start, end } = location;
  const line = source.split("\n")[start.line - 1] ?? "";
  const original = line.slice(start.column - 1, start.line === end.line ? end.column - 1 : undefined);
  return `${file.split("/").at(-1)}:${start.line} ${mutatorName}: ${cut(original)} -> ${cut(replacement ?? "")}`;
}

function cut(text: string): string {
  const one = text.replaceAll(/\s+/g, " ");
  return one.length > MAX_TEXT ? `${one.slice(0, MAX_TEXT)}…` : one;
}
