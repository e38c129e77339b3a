import type { LicenceListing } from "./licences.ts";

/** Packages asked for at a time. */
const PARALLEL = 16;
const TIMEOUT_MS = 20_000;

/** One version of one package. */
export interface PackageVersion {
  readonly name: string;
  readonly version: string;
}

/** Returns every version in a listing. */
export function versionsOf(listing: LicenceListing): readonly PackageVersion[] {
  return Object.values(listing)
    .flat()
    .flatMap(({ name, versions }) => versions.map((version) => ({ name, version })));
}

/**
 * Asks the registry about each version, and returns a sentence for each that its author has withdrawn.
 * @throws {Error} when the registry can't be asked
 */
export async function deprecated(
  registry: string,
  versions: readonly PackageVersion[],
): Promise<readonly string[]> {
  const found: string[] = [];
  const left = [...versions];
  const worker = async (): Promise<void> => {
    for (let next = left.pop(); next !== undefined; next = left.pop()) {
      const complaint = await complaintOf(registry, next);
      if (complaint !== undefined) found.push(`${next.name} ${next.version}: ${complaint}`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return found.toSorted();
}

/** Returns what is said against a version; undefined when nothing is. */
async function complaintOf(registry: string, { name, version }: PackageVersion): Promise<string | undefined> {
  const url = new URL(`${name.replace("/", "%2f")}/${version}`, registry);
  const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  if (answer.status === 404) return "the registry doesn't have this version any more";
  if (!answer.ok) throw new Error(`the registry answered ${answer.status}`);
  const { deprecated: complaint } = (await answer.json()) as { deprecated?: unknown };
  return typeof complaint === "string" && complaint !== "" ? complaint : undefined;
}
