import { describeMachine } from "../machine.ts";
import { minutesOf, type Count, type Run } from "./state.ts";

/** Returns what the page says of all runs, in Markdown. */
export function renderRuns(runs: readonly Run[]): string {
  const total = addUp(runs.map(({ counts }) => counts));
  const lines = [
    `${minutesOf(runs).toFixed(1)} minutes in sum, in ${runs.length} runs. ${describeMachine()}.`,
    "",
    "| traffic | tried | failed | failed in a restart of what it needs |",
    "|---|---|---|---|",
    ...Object.entries(total).map(
      ([kind, { tried, failed, interrupted }]) => `| ${kind} | ${tried} | ${failed} | ${interrupted} |`,
    ),
    "",
    "| run | minutes | changes | descriptors before → after | MiB before → after | Redis | goals |",
    "|---|---|---|---|---|---|---|",
    ...runs.map(row),
  ];
  return `${lines.join("\n")}\n`;
}

function row(run: Run, index: number): string {
  const { day, commit, minutes, events, held, redis, missed } = run;
  const changes = Object.entries(events).map(([what, count]) => `${count} ${what}`);
  const cells = [
    `${index + 1}: ${day.slice(0, 16).replace("T", " ")}, ${commit}`,
    minutes.toFixed(1),
    changes.join(", "),
    held.map(({ role, descriptors: [from, to] }) => `${role} ${from} → ${to}`).join("; "),
    held.map(({ role, megabytes: [from, to] }) => `${role} ${from.toFixed(0)} → ${to.toFixed(0)}`).join("; "),
    `${redis.megabytes.toFixed(1)} MiB of ${redis.boundMegabytes.toFixed(1)}, ${redis.keys} keys, ${redis.endless} without an end`,
    missed.length === 0 ? "met" : `**${missed.join("; ")}**`,
  ];
  return `| ${cells.join(" | ")} |`;
}

function addUp(all: readonly Run["counts"][]): Record<string, Count> {
  const sum: Record<string, Count> = {};
  for (const [kind, count] of all.flatMap((counts) => Object.entries(counts))) {
    const { tried, failed, interrupted } = sum[kind] ?? { tried: 0, failed: 0, interrupted: 0 };
    sum[kind] = {
      tried: tried + count.tried,
      failed: failed + count.failed,
      interrupted: interrupted + count.interrupted,
    };
  }
  return sum;
}
