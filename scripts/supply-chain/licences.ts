/** Licences of what is delivered: none asks more than to be named. */
const DELIVERED: ReadonlySet<string> = new Set([
  "MIT",
  "ISC",
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "BlueOak-1.0.0",
  "CC0-1.0",
]);

/** Those of tools that stay here: data tables may want to be credited where they are shown, which they are not. */
const TOOLS: ReadonlySet<string> = new Set([...DELIVERED, "CC-BY-4.0"]);

/** One package in the answer of `pnpm licenses list --json`, which is grouped by licence. */
interface LicensedPackage {
  readonly name: string;
  readonly versions: readonly string[];
}

export type LicenceListing = Readonly<Record<string, readonly LicensedPackage[]>>;

/** Returns a sentence for each package whose licence isn't allowed where it is used. */
export function licenceProblems(listing: LicenceListing, use: "delivered" | "tools"): readonly string[] {
  const allowed = use === "delivered" ? DELIVERED : TOOLS;
  return Object.entries(listing)
    .filter(([licence]) => !isAllowed(licence, allowed))
    .flatMap(([licence, packages]) =>
      packages.map(({ name, versions }) => `${name} ${versions.join(", ")}: ${licence}`),
    );
}

/** Of an SPDX expression one alternative is enough, and of that every part is needed. */
function isAllowed(expression: string, allowed: ReadonlySet<string>): boolean {
  const plain = expression.replace(/^\((.*)\)$/, "$1");
  return plain.split(" OR ").some((choice) => choice.split(" AND ").every((part) => allowed.has(part)));
}
