import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { findOnPath } from "./program-search.ts";

const run = promisify(execFile);

/** Download and unpacking of the distribution's package: some 100 MB. */
const INSTALL_TIMEOUT_MS = 240_000;

const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/** Where Chromium is, or why a test has to do without. */
export type FoundChromium = { readonly program: string } | { readonly missing: string };

/**
 * Finds Chromium. `GATEHOUSE_TEST_CHROMIUM` names the executable, or is `skip`; otherwise it is the one on PATH, and where there is
 * none and this is root on a Debian-like system, the distribution's package is installed.
 */
export async function findChromium(): Promise<FoundChromium> {
  const asked = process.env["GATEHOUSE_TEST_CHROMIUM"];
  if (asked === "skip") return { missing: "GATEHOUSE_TEST_CHROMIUM is skip" };
  if (asked !== undefined && asked !== "") return { program: asked };
  const program = findUnderAnyName();
  if (program !== undefined) return { program };
  if (process.getuid?.() !== 0 || findOnPath("apt-get") === undefined)
    return { missing: "Chromium is not installed (apt-get install chromium)" };
  const problem = await install();
  const installed = findUnderAnyName();
  if (installed !== undefined) return { program: installed };
  return { missing: `Chromium is not installed, and apt-get failed: ${problem}` };
}

function findUnderAnyName(): string | undefined {
  return NAMES.map((name) => findOnPath(name)).find((program) => program !== undefined);
}

async function install(): Promise<string> {
  const options = { timeout: INSTALL_TIMEOUT_MS, env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  try {
    await run("apt-get", ["update", "-qq"], options);
    await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], options);
    return "it left no chromium on PATH";
  } catch (error) {
    return String(error);
  }
}
