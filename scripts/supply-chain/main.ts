// `npm run audit`: licences of everything that is installed, a bill of materials of what is delivered (`.cache/sbom.cdx.json`, CycloneDX),
// known vulnerabilities and withdrawn versions in it.
// What the registry doesn't offer, or can't be asked from here, is said and is no failure: licences are always checked.
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { licenceProblems, type LicenceListing } from "./licences.ts";
import { deprecated, versionsOf, type PackageVersion } from "./registry.ts";

const ROOT = join(import.meta.dirname, "../..");
const BILL = join(ROOT, ".cache/sbom.cdx.json");
const MAX_OUTPUT = 64 * 1024 * 1024;
const run = promisify(execFile);

async function pnpm(...args: readonly string[]): Promise<string> {
  return (await run("pnpm", args, { cwd: ROOT, maxBuffer: MAX_OUTPUT })).stdout;
}

async function licences(...more: readonly string[]): Promise<LicenceListing> {
  return JSON.parse(await pnpm("--recursive", "licenses", "list", "--json", ...more)) as LicenceListing;
}

/** Returns problems; throws when nothing can be said. */
async function advisories(): Promise<readonly string[]> {
  try {
    await pnpm("audit", "--prod", "--audit-level", "high");
    return [];
  } catch (error) {
    const { stdout = "", stderr = "" } = error as { stdout?: string; stderr?: string };
    const cannot = /ERR_PNPM_AUDIT\w*[^]*?responded with (\d+)/.exec(stderr + stdout);
    if (cannot !== null) throw new Error(`the registry has no advisories (${cannot[1]})`, { cause: error });
    if (/ERR_PNPM|ENOTFOUND|ECONN/.test(stderr)) {
      throw new Error(`they can't be asked for (${stderr.trim().split("\n", 1)[0]})`, { cause: error });
    }
    return [stdout.trim()];
  }
}

/** Returns what is delivered and not on the bill. */
async function missingFromBill(delivered: readonly PackageVersion[]): Promise<readonly string[]> {
  const form = ["--sbom-format", "cyclonedx", "--sbom-type", "application"];
  await pnpm("sbom", ...form, "--prod", "--out", BILL);
  const { components } = JSON.parse(await readFile(BILL, "utf8")) as { components: { purl: string }[] };
  const listed = new Set(components.map(({ purl }) => decodeURIComponent(purl)));
  return delivered
    .map(({ name, version }) => `pkg:npm/${name}@${version}`)
    .filter((purl) => !listed.has(purl));
}

async function report(what: string, ask: () => Promise<readonly string[]>): Promise<number> {
  try {
    const problems = await ask();
    console.log(`${what}: ${problems.length === 0 ? "none" : ""}`.trimEnd());
    for (const problem of problems) console.log(`  ${problem}`);
    return problems.length;
  } catch (error) {
    console.log(`${what}: not known, ${error instanceof Error ? error.message : String(error)}`);
    return 0;
  }
}

const all = await licences();
const delivered = await licences("--prod");
const refused = new Set([...licenceProblems(delivered, "delivered"), ...licenceProblems(all, "tools")]);
console.log(
  `licences: ${versionsOf(all).length} packages, ${versionsOf(delivered).length} of them delivered`,
);
for (const problem of refused) console.log(`  not allowed: ${problem}`);
const unlisted = await missingFromBill(versionsOf(delivered));
console.log("bill of materials: .cache/sbom.cdx.json");
for (const purl of unlisted) console.log(`  not on it: ${purl}`);
const vulnerable = await report("vulnerabilities of high weight in what is delivered", advisories);
const registry = (await pnpm("config", "get", "registry")).trim();
// Their authors' word that it should be replaced; not a reason to stop a change that has nothing to do with it.
await report("versions that were withdrawn", () => deprecated(registry, versionsOf(delivered)));
if (refused.size + unlisted.length + vulnerable > 0) process.exitCode = 1;
