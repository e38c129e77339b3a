import { createInterface } from "node:readline/promises";
import { printable } from "@gatehouse/shared/log-record";
import { UsageError } from "./command.ts";

/** Prints what a command did: in JSON an object a line, else the text. */
export function answer(isJson: boolean, result: object | readonly object[], text: string): void {
  const objects: readonly object[] = Array.isArray(result) ? (result as readonly object[]) : [result];
  const lines = isJson ? objects.map((object) => JSON.stringify(object)) : [text];
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

/** Says something beside the answer, where it spoils no output. */
export function remark(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** Returns rows as aligned columns below a heading. Cells hold what strangers registered, so whatever drives a terminal is escaped. */
export function table(heading: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [heading, ...rows.map((row) => row.map(printable))];
  const widths = heading.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? "").length)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

/** Returns "1 token", "2 tokens". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/**
 * Asks before something that can't be taken back. True at once with `--yes`.
 * @throws {UsageError} when there is no terminal to ask on
 */
export async function isConfirmed(isYes: boolean, question: string): Promise<boolean> {
  if (isYes) return true;
  if (!process.stdin.isTTY) throw new UsageError(`${question} Say --yes; there is no terminal to ask on`);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(?:es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
