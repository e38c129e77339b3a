import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Case } from "./case.ts";
import { plotSvg, type Plot } from "./curve-svg.ts";
import type { Machine } from "./machine.ts";
import type { Outcome } from "./outcome.ts";
import type { Samples } from "./run-case.ts";
import { figureTable, markdownTable, short } from "./table.ts";

/** What a run of all cases left, as it stands in benchmarks/cases.json. */
export interface CaseRun {
  readonly machine: Machine;
  readonly rounds: number;
  readonly seconds: number;
  readonly samples: Readonly<Record<string, Samples>>;
}

/** What a run of the curves left, as it stands in benchmarks/growth.json. */
export interface GrowthRun {
  readonly machine: Machine;
  readonly curves: readonly Curve[];
}

/** A plot, and what it says. */
export interface Curve extends Plot {
  /** Of the file. */
  readonly name: string;
  readonly note: string;
}

const HOW = `How it is measured: what is under test has core 0 for itself (all its processes), load generator, servers behind the proxies and Redis share core 1. Peer and
Gatehouse take turns in every round, each time in another order, after a round to warm up: 2 s for programs that are compiled, 12 for those that Node compiles as they run (cold
ones cost twice as much; \`--quick\` shows that). A sample from which the hypervisor took more than 6 % is taken again. CPU is
that of all processes of the chain and their children, from the kernel's scheduler, exactly around the work. A ratio is the median of those of the rounds, with the
least and the greatest. Rates depend on the machine of the day; CPU per unit and ratios much less. Differences below 15 % mean nothing here.

Gatehouse runs as deployed: real processes, default configuration, records on the console and in Redis, unix sockets between dispatcher, instance (and, in the
dispatcher's own cases, the sink). Peers run with one thread and log a line per connection or request to a file. Redis's own share of the work is not in the figures
but in the raw data (\`asideCpu\`). Load generators are in C (\`scripts/bench/native\`); where theirs was the core without idle time the table says so: rates are then
a lower bound.

"Node alone" is the least that Node's public API takes for the work of the HAProxy beside it (\`scripts/bench/peers/bare-chain.mjs\`), in two processes: server name, one route, PROXY
header and octets in one; TLS, HTTP, token and fields in the other; a line for each connection and request. No bound, deadline, second target, revocation, metric or record in Redis.
With \`handle\`: an option of sockets that Node does not document. What of this is out of reach and why:
[performance.md](performance.md).`;

function machineText(machine: Machine): string {
  return Object.entries(machine)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ");
}

/** The page as Markdown; whatever has not been run is left out. */
export function benchmarksPage(run: CaseReport | undefined, growth: GrowthRun | undefined): string {
  const parts = ["# Benchmarks", "Written by `pnpm bench` and `pnpm bench --growth`; not by hand.", HOW];
  if (run !== undefined) parts.push(...caseParts(run));
  if (growth !== undefined) parts.push(...growthParts(growth));
  return `${parts.join("\n\n")}\n`;
}

export interface CaseReport extends CaseRun {
  readonly outcomes: readonly Outcome[];
  readonly cases: readonly Case[];
}

function caseParts(run: CaseReport): readonly string[] {
  const gated = run.outcomes.filter(({ figure }) => figure.reach !== undefined);
  const missed = gated.filter(({ isReached }) => isReached === false);
  const others = run.outcomes.filter(({ figure }) => figure.reach === undefined);
  const notes = run.cases.flatMap(({ title, note }) => (note === undefined ? [] : [`- ${title}: ${note}`]));
  return [
    "## Against other proxies",
    `${machineText(run.machine)}. ${run.rounds} rounds, samples of ${run.seconds} s. Raw data: [benchmarks/cases.json](benchmarks/cases.json).`,
    `${gated.length - missed.length} of ${gated.length} figures reached.`,
    figureTable(gated),
    notes.join("\n"),
    ...(others.length === 0 ? [] : ["Beside them, with nothing to reach:", figureTable(others)]),
  ];
}

function growthParts(growth: GrowthRun): readonly string[] {
  return [
    "## Growth",
    `${machineText(growth.machine)}. Raw data: [benchmarks/growth.json](benchmarks/growth.json).`,
    ...growth.curves.flatMap((curve) => [
      `### ${curve.title}`,
      `![${curve.title}](benchmarks/${curve.name}.svg)`,
      curve.note,
      curveTable(curve),
    ]),
  ];
}

/** The numbers of a plot, a row for each x. */
export function curveTable({ x, y, series }: Plot): string {
  const all = [...new Set(series.flatMap(({ points }) => points.map(([at]) => at)))].toSorted(
    (a, b) => a - b,
  );
  const rows = all.map((at) => [
    String(at),
    ...series.map(({ points }) => short(points.find(([found]) => found === at)?.[1] ?? Number.NaN)),
  ]);
  return markdownTable([x, ...series.map(({ name }) => `${name}, ${y}`)], rows);
}

export async function writeJson(out: string, name: string, value: unknown): Promise<void> {
  await mkdir(join(out, "benchmarks"), { recursive: true });
  await writeFile(join(out, "benchmarks", `${name}.json`), `${JSON.stringify(value)}\n`);
}

export async function writePlots(out: string, curves: readonly Curve[]): Promise<void> {
  await mkdir(join(out, "benchmarks"), { recursive: true });
  for (const curve of curves) await writeFile(join(out, "benchmarks", `${curve.name}.svg`), plotSvg(curve));
}
