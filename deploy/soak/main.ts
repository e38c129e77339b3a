// `npm run soak [-- --minutes N]`: mixed traffic for so many minutes (5) with restarts, renewals and config changes, and what is held after it. Each run is added to
// .cache/soak.json, and docs/soak.md is written from all of them, so that an hour can be collected in parts. SIGINT ends a run early; what it measured counts.
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { withWritten } from "../written-part.ts";
import { renderRuns } from "./page.ts";
import { soak } from "./run.ts";
import { addRun, minutesOf, readRuns } from "./state.ts";

const ROOT = join(import.meta.dirname, "../..");
const STATE = join(ROOT, ".cache/soak.json");
const PAGE = join(ROOT, "docs/soak.md");
const MARKS = { begin: "<!-- written by npm run soak -->", end: "<!-- to here -->" };

const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { minutes: { type: "string", default: "5" }, state: { type: "string", default: STATE } },
  });
  const minutes = Number(values.minutes);
  if (!(minutes > 0 && minutes <= 600)) {
    say("--minutes: a number from above 0 to 600");
    return 2;
  }
  const stopping = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => stopping.abort());
  const number = (await readRuns(values.state)).length + 1;
  const run = await soak({ minutes, number, commit: commit(), signal: stopping.signal, say });
  const runs = await addRun(values.state, run);
  await writeFile(PAGE, withWritten(await readFile(PAGE, "utf8"), MARKS, renderRuns(runs)));
  say(`run ${number}: ${run.minutes.toFixed(1)} minutes, ${minutesOf(runs).toFixed(1)} in sum`);
  for (const goal of run.missed) say(`  ! ${goal}`);
  process.stdout.write(run.missed.length === 0 ? "1 passed, 0 failed\n" : "0 passed, 1 failed\n");
  return run.missed.length === 0 ? 0 : 1;
}

function commit(): string {
  try {
    return execFileSync("git", ["-C", ROOT, "rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  } catch {
    return "unknown"; // not a checkout
  }
}

process.exitCode = await main();
