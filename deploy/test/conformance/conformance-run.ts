import { spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as z from "zod";

/** Revisions whose frozen requirement sets are run: the last session-based one and the first stateless one. */
export type Revision = "2025-11-25" | "2026-07-28";

/** What the runner found at one URL. */
export interface ConformanceRun {
  /** 0 when every scored scenario passed. */
  readonly exitCode: number | null;
  readonly passed: number;
  readonly failed: number;
  /** Scenario to its verdicts, as `check id: STATUS`, in the order they were reached. */
  readonly scenarios: Readonly<Record<string, readonly string[]>>;
}

/** Per scenario, in the runner; those that pass take well under a second. */
const SCENARIO_TIMEOUT_MS = 20_000;

const checks = z.array(z.object({ id: z.string(), status: z.string() }));

/** Runs every scenario that the revision requires of a server, and those it merely reports, against `url`. */
export async function runConformance(url: string, revision: Revision): Promise<ConformanceRun> {
  const directory = await mkdtemp(join(tmpdir(), "conformance-"));
  try {
    const args = ["server", "--url", url, "--requirements", revision, "-o", directory];
    const { exitCode, output } = await run([...args, "--timeout", String(SCENARIO_TIMEOUT_MS)]);
    const total = /^Total: (\d+) passed, (\d+) failed/m.exec(output);
    if (!total) throw new Error(`the conformance runner printed no total:\n${output}`);
    return {
      exitCode,
      passed: Number(total[1]),
      failed: Number(total[2]),
      scenarios: await readScenarios(directory),
    };
  } finally {
    await rm(directory, { recursive: true });
  }
}

async function run(args: readonly string[]): Promise<{ exitCode: number | null; output: string }> {
  const manifest = createRequire(import.meta.url).resolve("@modelcontextprotocol/conformance/package.json");
  const child = spawn(process.execPath, [join(dirname(manifest), "dist/index.js"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const exitCode = await new Promise<number | null>((resolve, reject) => {
    child.once("close", resolve).once("error", reject);
  });
  return { exitCode, output };
}

/** The runner writes `server-<scenario>-<time>/checks.json`. Remarks (INFO) are left out: how many there are is a matter of timing. */
async function readScenarios(directory: string): Promise<Record<string, string[]>> {
  const scenarios: Record<string, string[]> = {};
  for (const folder of (await readdir(directory)).toSorted()) {
    const name = /^server-(.+)-\d{4}-\d\d-\d\dT/.exec(folder)?.[1];
    if (name === undefined) continue;
    const found = checks.parse(JSON.parse(await readFile(join(directory, folder, "checks.json"), "utf8")));
    scenarios[name] = found
      .filter(({ status }) => status !== "INFO")
      .map(({ id, status }) => `${id}: ${status}`);
  }
  return scenarios;
}
