import type { Progress } from "./progress.ts";

interface Row {
  readonly name: string;
  readonly progress: Progress;
}

const BEGIN = "<!-- pnpm fuzz --record writes this table -->";
const END = "<!-- end of the table -->";

/** Returns the results as a Markdown table, the sum of inputs in its last line. */
export function resultTable(rows: readonly Row[]): string {
  const sum = rows.reduce((total, { progress }) => total + progress.search.inputs, 0);
  return [
    "| target | inputs | a second | kept for reaching something new | 64 KiB take, at most | steeper than linear | invariants broken | last run |",
    "|---|---|---|---|---|---|---|---|",
    ...rows.map(rowText),
    `| in all | ${sum.toLocaleString("en")} | | | | | | |`,
    "",
  ].join("\n");
}

/**
 * Returns the page with the table in its place.
 * @throws {Error} when the page has no place for it
 */
export function replaceTable(page: string, table: string): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`the page has no lines "${BEGIN}" and "${END}"`);
  return `${page.slice(0, begin)}${BEGIN}\n${table}${page.slice(end)}`;
}

function rowText({ name, progress }: Row): string {
  const { search, seconds, growth, date } = progress;
  const cells = [
    `\`${name}\``,
    search.inputs.toLocaleString("en"),
    Math.round(search.inputs / Math.max(seconds, 0.001)).toLocaleString("en"),
    search.corpus.length,
    growth === undefined ? "" : `${growth.slowestMs.toFixed(1)} ms`,
    growth === undefined ? "" : growth.steep.length,
    search.finds.length,
    date,
  ];
  return `| ${cells.join(" | ")} |`;
}
