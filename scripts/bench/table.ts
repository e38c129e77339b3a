import type { Outcome, Spread } from "./outcome.ts";

/** Three significant digits, without exponent. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 6));
}

export function spreadText({ median, min, max }: Spread): string {
  return `${short(median)} (${short(min)}-${short(max)})`;
}

function reachText({ figure }: Outcome): string {
  if (figure.reach === undefined) return "-";
  return `${figure.better === "lower" ? "<=" : ">="} ${figure.reach}x`;
}

function verdict({ isReached }: Outcome): string {
  if (isReached === undefined) return "-";
  return isReached ? "reached" : "**missed**";
}

/** The table of all figures, as Markdown; a terminal shows it as well. */
export function figureTable(outcomes: readonly Outcome[]): string {
  const head = ["work", "unit", "peer", "peer's", "Gatehouse's", "ratio", "to reach", "", "prototype"];
  const rows = outcomes.map((outcome) => {
    const { figure, loadBound } = outcome;
    const bound = loadBound.length === 0 ? "" : `; load generator the limit for ${loadBound.join(", ")}`;
    return [
      figure.work,
      figure.unit,
      figure.peer,
      spreadText(outcome.peer),
      spreadText(outcome.subject),
      spreadText(outcome.ratio),
      reachText(outcome),
      `${verdict(outcome)}${bound}`,
      figure.prototype ?? "-",
    ];
  });
  return markdownTable(head, rows);
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}
