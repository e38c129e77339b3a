// `npm run faults [NAME …]`: injects faults into a running Gatehouse under load, one bed for each, and writes what they did into docs/reliability.md.
// Exits with 1 when a goal is missed. With names only these are run and the page stays as it is; `--list` names them.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Bed } from "./bed.ts";
import { clockFaults } from "./clock-faults.ts";
import type { Fault } from "./fault.ts";
import { networkFaults } from "./network-faults.ts";
import { processFaults } from "./process-faults.ts";
import { redisFaults } from "./redis-faults.ts";
import { resourceFaults } from "./resource-faults.ts";
import { runFault, type Outcome } from "./run.ts";
import { describe, renderTable, withTable, type Skipped } from "./table.ts";

const PAGE = join(import.meta.dirname, "../../docs/reliability.md");
/** Six and a half seconds after a fault show whether five were enough. */
const TIMING = { beforeMs: 2_500, afterMs: 6_500 };
const PATIENCE_MS = 3_000;

const FAULTS: readonly Fault[] = [
  ...processFaults,
  ...redisFaults,
  ...resourceFaults,
  ...clockFaults,
  ...networkFaults,
];

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** What keeps a bed from standing (a port that somebody took, a machine with too much to do) is no finding; twice it is. */
async function inject(fault: Fault): Promise<Outcome> {
  try {
    return await injectOnce(fault);
  } catch (error) {
    say(`again: ${fault.name}: ${error instanceof Error ? error.stack : String(error)}`);
    return await injectOnce(fault);
  }
}

async function injectOnce(fault: Fault): Promise<Outcome> {
  const bed = await Bed.start(PATIENCE_MS, await fault.place?.());
  try {
    return await runFault(bed, fault, TIMING);
  } finally {
    await bed.stop();
  }
}

async function run(faults: readonly Fault[]): Promise<{ outcomes: Outcome[]; skipped: Skipped[] }> {
  const outcomes: Outcome[] = [];
  const skipped: Skipped[] = [];
  for (const fault of faults) {
    const reason = fault.missing?.();
    if (reason === undefined) {
      const outcome = await inject(fault);
      outcomes.push(outcome);
      say(describe(outcome));
    } else {
      skipped.push({ title: fault.title, reason });
      say(`skipped ${fault.name}: ${reason}`);
    }
  }
  return { outcomes, skipped };
}

async function main(names: readonly string[]): Promise<number> {
  if (names.includes("--list")) {
    for (const { name, title } of FAULTS) process.stdout.write(`${name.padEnd(24)}${title}\n`);
    return 0;
  }
  const unknown = names.filter((name) => !FAULTS.some((fault) => fault.name === name));
  if (unknown.length > 0) {
    say(`no such fault: ${unknown.join(", ")}; --list names them all`);
    return 2;
  }
  const chosen = names.length === 0 ? FAULTS : FAULTS.filter(({ name }) => names.includes(name));
  const { outcomes, skipped } = await run(chosen);
  if (names.length === 0) {
    await writeFile(PAGE, withTable(await readFile(PAGE, "utf8"), renderTable(outcomes, skipped)));
    say("written: docs/reliability.md");
  }
  const failed = outcomes.filter(({ missed }) => missed.length > 0).length;
  process.stdout.write(`${outcomes.length - failed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
