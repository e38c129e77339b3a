// `npm run mutation [module…]`: changes the code of the security-critical modules in every small way, and counts the changes that their tests
// notice. Prints the survivors, and writes the counts into docs/mutation.md. Fails below 85 %. Minutes to half an hour: see that page.
import { spawnSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { MUTATED_MODULES, type MutatedFile, type MutatedModule } from "./modules.ts";
import { scoreOf, sumOf, type MutationScore, type StrykerReport } from "./mutation-report.ts";

const ROOT = join(import.meta.dirname, "../..");
const PAGE = join(ROOT, "docs/mutation.md");
/** Percent of the mutants that have to be noticed. */
const BOUND = 85;

function percent({ killed, total }: MutationScore): number {
  return (killed / total) * 100;
}

async function mutate(module: MutatedModule): Promise<MutationScore> {
  const scores: MutationScore[] = [];
  for (const file of module.files) scores.push(await mutateFile(module, file));
  return sumOf(scores);
}

async function mutateFile(module: MutatedModule, file: MutatedFile): Promise<MutationScore> {
  const reportName = `.cache/mutation/${basename(file.source)}.json`;
  const { status } = spawnSync(
    join(ROOT, "node_modules/.bin/stryker"),
    ["run", "scripts/mutation/stryker.config.mjs"],
    {
      cwd: ROOT,
      stdio: "inherit",
      env: {
        ...process.env,
        GATEHOUSE_MUTATED_FILE: JSON.stringify({ ...file, package: module.package, reportName }),
      },
    },
  );
  if (status !== 0) throw new Error(`${module.name}: Stryker ended with ${status} at ${file.source}`);
  return scoreOf(JSON.parse(await readFile(join(ROOT, reportName), "utf8")) as StrykerReport);
}

/** The row of a module is replaced; what people wrote around the table stays. */
async function writeRow({ name, files }: MutatedModule, score: MutationScore): Promise<void> {
  const page = await readFile(PAGE, "utf8");
  const day = new Date().toISOString().slice(0, 10);
  const sources = files.map(({ source }) => `\`${source.replace(/^src\//, "")}\``).join(", ");
  const row = `| ${name} | ${sources} | ${score.killed} of ${score.total} | ${percent(score).toFixed(1)} % | ${day} |`;
  const old = new RegExp(`^\\| ${name} \\|.*$`, "m");
  if (!old.test(page)) throw new Error(`docs/mutation.md has no row for ${name}`);
  await writeFile(PAGE, page.replace(old, row));
}

const names = process.argv.slice(2);
const unknown = names.filter((name) => !MUTATED_MODULES.some((module) => module.name === name));
if (unknown.length > 0) {
  console.error(
    `no such module: ${unknown.join(", ")}; there are ${MUTATED_MODULES.map(({ name }) => name).join(", ")}`,
  );
  process.exit(2);
}
for (const module of MUTATED_MODULES.filter(({ name }) => names.length === 0 || names.includes(name))) {
  const score = await mutate(module);
  await writeRow(module, score);
  console.log(
    `${module.name}: ${score.killed} of ${score.total} mutants noticed, ${percent(score).toFixed(1)} %`,
  );
  for (const survivor of score.survivors) console.log(`  survived: ${survivor}`);
  if (percent(score) < BOUND) {
    console.error(`FAILED ${module.name}: under ${BOUND} %`);
    process.exitCode = 1;
  }
}
