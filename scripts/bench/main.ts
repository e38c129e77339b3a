// `pnpm bench`: Gatehouse beside HAProxy, nginx and sniproxy, in one run on the same cores; docs/benchmarks.md is what it writes.
import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type { Case } from "./case.ts";
import { CASES } from "./cases/all.ts";
import { LOAD_CORE } from "./cores.ts";
import { installLine, installPackages, missingPackages } from "./debian-peers.ts";
import { CURVES } from "./growth/all.ts";
import { describeMachine } from "./machine.ts";
import { buildNativePrograms } from "./native-programs.ts";
import { readBenchOptions, USAGE, type BenchOptions } from "./options.ts";
import { outcomeOf, type Outcome } from "./outcome.ts";
import { openPlace } from "./place.ts";
import { pinTo } from "./process-cpu.ts";
import {
  benchmarksPage,
  writeJson,
  writePlots,
  type CaseReport,
  type CaseRun,
  type Curve,
  type GrowthRun,
} from "./report.ts";
import { runCase, type Samples } from "./run-case.ts";
import { figureTable, spreadText } from "./table.ts";

const CORES_NEEDED = 2;

async function prepare(options: BenchOptions): Promise<void> {
  // What is measured is the default configuration; the demo's processes inherit these.
  for (const name of ["LOG_LEVEL", "NODE_EXTRA_CA_CERTS"]) delete process.env[name];
  if (availableParallelism() < CORES_NEEDED) throw new Error(`the benchmark needs ${CORES_NEEDED} cores`);
  const missing = missingPackages();
  if (missing.length > 0 && !options.isInstall)
    throw new Error(
      `missing: ${missing.join(", ")}. As root: ${installLine(missing)} (or pnpm bench --install)`,
    );
  if (missing.length > 0) installPackages(missing);
  await buildNativePrograms();
  pinTo(LOAD_CORE, process.pid);
}

function chosen<T extends { readonly name: string }>(
  all: readonly T[],
  only: readonly string[] | undefined,
): readonly T[] {
  const unknown = only?.filter((name) => !all.some((each) => each.name === name)) ?? [];
  if (unknown.length > 0)
    throw new TypeError(
      `no such case: ${unknown.join(", ")}; there are ${all.map(({ name }) => name).join(", ")}`,
    );
  return only === undefined ? all : all.filter(({ name }) => only.includes(name));
}

/** A place for each case: what one leaves in Redis or in a backlog is not the next one's. */
async function takeCase(subject: Case, options: BenchOptions): Promise<Samples> {
  const place = await openPlace();
  try {
    return await runCase(subject, place, options);
  } finally {
    await place.close();
  }
}

async function runCases(options: BenchOptions): Promise<boolean> {
  const cases = chosen(CASES, options.only);
  const samples: Record<string, Samples> = {};
  const outcomes: Outcome[] = [];
  const problems: string[] = [];
  for (const subject of cases) {
    const started = performance.now();
    try {
      const taken = await takeCase(subject, options);
      samples[subject.name] = taken;
      const found = subject.figures.map((figure) => outcomeOf(subject, figure, taken));
      outcomes.push(...found);
      for (const { figure, ratio } of found)
        console.error(`${figure.id} / ${figure.peer}: ${spreadText(ratio)}x`);
    } catch (error) {
      problems.push(`${subject.name}: ${error instanceof Error ? error.message : String(error)}`);
      console.error(`FAILED ${problems.at(-1)}`);
    }
    console.error(`  ${subject.name}: ${Math.round((performance.now() - started) / 1000)} s`);
  }
  const run: CaseRun = {
    machine: describeMachine(),
    rounds: options.rounds,
    seconds: options.seconds,
    samples,
  };
  await writeJson(options.out, "cases", run);
  await writePage(options, { ...run, outcomes, cases }, readGrowth(options.out));
  console.log(figureTable(outcomes));
  const missed = outcomes.filter(({ isReached }) => isReached === false);
  for (const { figure, ratio } of missed) console.error(`MISSED ${figure.work}: ${spreadText(ratio)}x`);
  return missed.length === 0 && problems.length === 0;
}

async function runGrowth(options: BenchOptions): Promise<boolean> {
  const curves: Curve[] = [];
  for (const curve of chosen(CURVES, options.only)) {
    const started = performance.now();
    const place = await openPlace();
    try {
      curves.push(...(await curve.draw(place, options)));
    } finally {
      await place.close();
    }
    console.error(`  ${curve.name}: ${Math.round((performance.now() - started) / 1000)} s`);
  }
  const run: GrowthRun = { machine: describeMachine(), curves };
  await writeJson(options.out, "growth", run);
  await writePlots(options.out, curves);
  await writePage(options, readCases(options.out), run);
  console.log(curves.map((curve) => `${curve.title}\n${JSON.stringify(curve.series)}`).join("\n"));
  return true;
}

async function writePage(
  options: BenchOptions,
  run: CaseReport | undefined,
  growth: GrowthRun | undefined,
): Promise<void> {
  await mkdir(options.out, { recursive: true });
  await writeFile(join(options.out, "benchmarks.md"), benchmarksPage(run, growth));
  console.error(`written: ${join(options.out, "benchmarks.md")}`);
}

/** Of our own writing, so its shape is known. */
function readJson(path: string): unknown {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : undefined;
}

function readGrowth(out: string): GrowthRun | undefined {
  return readJson(join(out, "benchmarks/growth.json")) as GrowthRun | undefined;
}

/** The cases of an earlier run, judged again. */
function readCases(out: string): CaseReport | undefined {
  const run = readJson(join(out, "benchmarks/cases.json")) as CaseRun | undefined;
  if (run === undefined) return undefined;
  const cases = CASES.filter(({ name }) => run.samples[name] !== undefined);
  const outcomes = cases.flatMap((subject) =>
    subject.figures.map((figure) => outcomeOf(subject, figure, run.samples[subject.name] ?? {})),
  );
  return { ...run, outcomes, cases };
}

try {
  const options = readBenchOptions(process.argv.slice(2));
  if (options.isList) {
    console.log([...CASES, ...CURVES].map(({ name }) => name).join("\n"));
  } else {
    await prepare(options);
    const isGood = options.isGrowth ? await runGrowth(options) : await runCases(options);
    process.exitCode = isGood ? 0 : 1;
  }
} catch (error) {
  console.error(error instanceof TypeError ? `${error.message}\n${USAGE}` : error);
  process.exitCode = 2;
}
