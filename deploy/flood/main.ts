// `npm run flood [-- NAME …] [--connections N] [--seconds N]`: floods a Gatehouse with hostile connections while honest traffic goes on, and writes what became of
// that into docs/abuse-limits.md. Exits with 1 when a goal is missed. With names or figures of one's own the page stays as it is.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeMachine } from "../machine.ts";
import { withWritten } from "../written-part.ts";
import { HONEST_KINDS, type Measured } from "./honest.ts";
import { HOSTILE_KINDS } from "./hostile.ts";
import { CASES, runCase, type Outcome, type Plan } from "./run.ts";

const PAGE = join(import.meta.dirname, "../../docs/abuse-limits.md");
const MARKS = { begin: "<!-- written by npm run flood -->", end: "<!-- to here -->" };
const PLAN: Plan = { connections: 50_000, floodSeconds: 160, calmSeconds: 20 };

function render(outcomes: readonly Outcome[], plan: Plan): string {
  const day = new Date().toISOString().slice(0, 10);
  const lines = [
    `Run on ${day}: ${describeMachine()}. ${plan.connections} connections in ${plan.floodSeconds} s, of ${HOSTILE_KINDS.length} kinds: ${HOSTILE_KINDS.join("; ")}.`,
    "",
    "| the flood comes | open at once, most | honest | asked, answered in the flood | rate kept | p50, p99 before | p50, p99 in the flood | p99 | streams ended | goals |",
    "|---|---|---|---|---|---|---|---|---|---|",
    ...outcomes.flatMap(rows),
  ];
  return `${lines.join("\n")}\n`;
}

function rows({ of, flood, honest, missed }: Outcome): string[] {
  return HONEST_KINDS.map((kind) => {
    const calm = honest.phases["calm"]?.[kind];
    const under = honest.phases["flood"]?.[kind];
    if (calm === undefined || under === undefined) throw new Error("a phase was not measured");
    const kept = (under.answered / under.sent / (calm.answered / calm.sent)) * 100;
    const cells = [
      of.title,
      String(flood.mostOpen),
      kind,
      `${under.sent}, ${under.answered}`,
      `${kept.toFixed(1)} %`,
      times(calm),
      times(under),
      `${(under.p99 / calm.p99).toFixed(1)} times`,
      `${honest.streams.ended} of ${honest.streams.open}`,
      missed.length === 0 ? "met" : `**${missed.join("; ")}**`,
    ];
    return `| ${cells.join(" | ")} |`;
  });
}

function times({ p50, p99 }: Measured): string {
  return `${p50.toFixed(1)}, ${p99.toFixed(1)} ms`;
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: { connections: { type: "string" }, seconds: { type: "string" } },
    allowPositionals: true,
  });
  const plan = {
    ...PLAN,
    ...(values.connections !== undefined && { connections: Number(values.connections) }),
    ...(values.seconds !== undefined && { floodSeconds: Number(values.seconds) }),
  };
  const chosen = positionals.length === 0 ? CASES : CASES.filter(({ name }) => positionals.includes(name));
  const outcomes: Outcome[] = [];
  for (const one of chosen) {
    const outcome = await runCase(one, plan);
    outcomes.push(outcome);
    process.stderr.write(`${one.name}: ${JSON.stringify(outcome.flood)}\n${rows(outcome).join("\n")}\n`);
  }
  const isWhole = chosen === CASES && values.connections === undefined && values.seconds === undefined;
  if (isWhole)
    await writeFile(PAGE, withWritten(await readFile(PAGE, "utf8"), MARKS, render(outcomes, plan)));
  const failed = outcomes.filter(({ missed }) => missed.length > 0).length;
  process.stdout.write(`${outcomes.length - failed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main();
