import { describeMachine } from "../machine.ts";
import { withWritten } from "../written-part.ts";
import type { Fault } from "./fault.ts";
import type { Fate, Outcome } from "./run.ts";

/** Lines of the page that are written by the program. */
const BEGIN = "<!-- written by npm run faults -->";
const END = "<!-- to here -->";

/** A fault that was not injected, and why. */
export interface Skipped {
  readonly title: string;
  readonly reason: string;
}

/** Returns the page with the table of this run in the place of the last one. @throws when the marks are missing */
export function withTable(page: string, table: string): string {
  return withWritten(page, { begin: BEGIN, end: END }, table);
}

/** Returns the table in Markdown, with the day and the kind of machine. */
export function renderTable(outcomes: readonly Outcome[], skipped: readonly Skipped[]): string {
  const day = new Date().toISOString().slice(0, 10);
  const lines = [
    `Run on ${day}: ${describeMachine()}.`,
    "",
    "| fault | new connections | kept connections | streams | logins | registrations | refreshes | operator | acknowledged, lost | back after | goals |",
    "|---|---|---|---|---|---|---|---|---|---|---|",
    ...outcomes.map(row),
    ...skipped.map(({ title, reason }) => `| ${title} | not run: ${reason} | | | | | | | | | |`),
  ];
  return `${lines.join("\n")}\n`;
}

function row(outcome: Outcome): string {
  const { fault, fates, acknowledged, lost, missed } = outcome;
  const time = fault.seconds === 0 ? "" : `, ${fault.seconds} s`;
  const cells = [
    fault.title + time,
    ...fates.map(cell),
    `${acknowledged}, ${lost.length === 0 ? "none" : lost.join("; ")}`,
    backAfter(outcome),
    missed.length > 0 ? `**${missed.join("; ")}**` : met(fault),
  ];
  return `| ${cells.join(" | ")} |`;
}

function met({ isOutlastedByTcp = false }: Fault): string {
  return isOutlastedByTcp ? "met, but for connections that were open" : "met";
}

function backAfter({ recoveryMs, flowingMs }: Outcome): string {
  const served = recoveryMs === 0 ? "at once" : `${seconds(recoveryMs)} s`;
  return flowingMs === 0 ? served : `${served}, streams ${seconds(flowingMs)} s`;
}

function cell({ tried, failed, firstMs, lastMs }: Fate): string {
  return failed === 0 ? "–" : `${failed} of ${tried}, ${seconds(firstMs)}–${seconds(lastMs)} s`;
}

/** For the terminal, with what the table has no room for. */
export function describe(outcome: Outcome): string {
  const { fault, fates, acknowledged, lost, missed, streamsEnded } = outcome;
  const lines = [
    `${missed.length === 0 ? "met   " : "MISSED"}  ${fault.name}: back after: ${backAfter(outcome)}; ${streamsEnded} streams ended, ${lost.length} kinds lost of ${acknowledged} acknowledged`,
    ...fates
      .filter(({ failed }) => failed > 0)
      .map((fate) => `          ${fate.kind}: ${cell(fate)} (${fate.problems.slice(0, 4).join(", ")})`),
    ...missed.map((goal) => `        ! ${goal}`),
  ];
  return lines.join("\n");
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
