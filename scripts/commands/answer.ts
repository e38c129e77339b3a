import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import { printable } from "@gatehouse/shared/log-record";
import { UsageError } from "./command.ts";

/** Prints what a command did: in JSON an object a line, else the text. */
export function answer(isJson: boolean, result: object | readonly object[], text: string): void {
  const objects: readonly object[] = Array.isArray(result) ? (result as readonly object[]) : [result];
  const lines = isJson ? objects.map((object) => jsonText(object)) : [text];
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}

// Controls beyond ASCII, separators of lines, marks of direction: JSON lets them through, a terminal obeys them.
const UNPRINTABLE = /[\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Returns the value as JSON that may be shown on a terminal, whoever chose the texts in it. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
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
  // The end of the input and Ctrl-C close it without an answer, and a question would wait for ever.
  const closed = once(terminal, "close").then(() => "");
  try {
    const said = await Promise.race([terminal.question(`${question} [y/N] `), closed]);
    return /^y(?:es)?$/i.test(said.trim());
  } finally {
    terminal.close();
  }
}
