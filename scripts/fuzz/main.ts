// `pnpm fuzz [TARGET ...] [--inputs N] [--fresh] [--keep] [--record]`: searches for octets that break an invariant of what reads them, guided by
// the blocks they reach, until N inputs (default 100,000) have been tried on each target, earlier runs included. It may be stopped
// and goes on where it was. --fresh forgets earlier runs; --keep writes the inputs worth keeping beside the target; --record writes
// the table of docs/fuzzing.md. Exit 1 when something was found.
import { globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { measureGrowth } from "@gatehouse/testbed/fuzz/growth";
import { Search } from "@gatehouse/testbed/fuzz/search";
import { inputLine, keptInputs, type FuzzTarget } from "@gatehouse/testbed/fuzz/target";
import { readProgress, writeProgress, type Progress } from "./progress.ts";
import { replaceTable, resultTable } from "./result-table.ts";

const ROOT = join(import.meta.dirname, "../..");
const RESULT = join(ROOT, ".cache/fuzz/result.md");
const PAGE = join(ROOT, "docs/fuzzing.md");
const DEFAULT_INPUTS = 100_000;
/** Seconds between two writes of what has been reached. */
const WRITE_SECONDS = 5;
/** Kept in the repository: none longer than this, and no more octets in all for one target. */
const MAX_KEPT_BYTES = 700;
const MAX_KEPT_TOTAL = 24 * 1024;

interface Place {
  readonly target: FuzzTarget;
  /** Where its regressions and kept inputs are. */
  readonly directory: string;
}

interface Options {
  readonly inputs: number;
  readonly isFresh: boolean;
}

async function findTargets(): Promise<Place[]> {
  const places: Place[] = [];
  for (const file of globSync("packages/*/test/fuzz/*.fuzz.ts", { cwd: ROOT }).sort()) {
    const { target } = (await import(join(ROOT, file))) as { target: FuzzTarget };
    places.push({ target, directory: join(ROOT, dirname(file)) });
  }
  return places;
}

async function run({ target, directory }: Place, options: Options): Promise<Progress> {
  const earlier = options.isFresh ? undefined : readProgress(target.name);
  const start = earlier?.search ?? { seed: Date.now() % 1_000_000, inputs: 0, corpus: [], finds: [] };
  const seeds = [...target.seeds, ...keptInputs(directory, target.name)];
  const search = await Search.start({ ...target, seeds }, start);
  const began = performance.now();
  const progress = (): Progress => ({
    search: search.state,
    seconds: (earlier?.seconds ?? 0) + (performance.now() - began) / 1000,
    date: new Date().toISOString().slice(0, 10),
    reached: search.reached,
  });
  let written = began;
  while (search.state.inputs < options.inputs) {
    await search.step(options.inputs - search.state.inputs);
    if (performance.now() - written < WRITE_SECONDS * 1000) continue;
    written = performance.now();
    writeProgress(target.name, progress());
  }
  const last = progress();
  search.close();
  const { slowest, steep } = await measureGrowth(target, [...seeds, ...last.search.corpus]);
  const growth = { slowestMs: slowest, steep: steep.map(({ input }) => inputLine(input)) };
  const whole = { ...last, growth };
  writeProgress(target.name, whole);
  return whole;
}

function keep({ target, directory }: Place, { search }: Progress): void {
  let left = MAX_KEPT_TOTAL;
  const kept = [...keptInputs(directory, target.name, ["kept"]), ...search.corpus].filter((input) => {
    if (input.length > MAX_KEPT_BYTES || input.length > left) return false;
    left -= input.length;
    return true;
  });
  mkdirSync(join(directory, "kept"), { recursive: true });
  const lines = [...new Set(kept.map(inputLine))];
  writeFileSync(
    join(directory, "kept", `${target.name}.txt`),
    `# Inputs that each reached something new (pnpm fuzz --keep).\n${lines.join("\n")}\n`,
  );
}

function report(name: string, { search, seconds, growth }: Progress): void {
  const rate = Math.round(search.inputs / Math.max(seconds, 0.001));
  console.log(`${name}: ${search.inputs} inputs, ${rate}/s, ${search.finds.length} finds`);
  for (const { problem, input } of search.finds) console.log(`  ${problem}\n    ${inputLine(input)}`);
  for (const input of growth?.steep ?? []) console.log(`  costs more than in proportion\n    ${input}`);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      inputs: { type: "string", default: String(DEFAULT_INPUTS) },
      fresh: { type: "boolean", default: false },
      keep: { type: "boolean", default: false },
      record: { type: "boolean", default: false },
    },
  });
  const inputs = Number(values.inputs);
  const places = await findTargets();
  const unknown = positionals.filter((name) => !places.some(({ target }) => target.name === name));
  if (unknown.length > 0 || !Number.isSafeInteger(inputs) || inputs < 1) {
    const names = places.map(({ target }) => target.name).join(", ");
    console.error(
      `usage: pnpm fuzz [TARGET ...] [--inputs N] [--fresh] [--keep] [--record]; targets: ${names}`,
    );
    process.exitCode = 2;
    return;
  }
  for (const place of places) {
    const { name } = place.target;
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const progress = await run(place, { inputs, isFresh: values.fresh });
    report(name, progress);
    if (values.keep) keep(place, progress);
    if (progress.search.finds.length > 0 || (progress.growth?.steep.length ?? 0) > 0) process.exitCode = 1;
    writeResult(places, values.record);
  }
  // A target may hold what keeps a process alive, a server's context or a client that never connected.
  process.exit();
}

/** What every target has come to so far, after each one. */
function writeResult(places: readonly Place[], isRecorded: boolean): void {
  const rows = places.flatMap(({ target }) => {
    const progress = readProgress(target.name);
    return progress === undefined ? [] : [{ name: target.name, progress }];
  });
  const table = resultTable(rows);
  writeFileSync(RESULT, table);
  if (isRecorded) writeFileSync(PAGE, replaceTable(readFileSync(PAGE, "utf8"), table));
}

await main();
