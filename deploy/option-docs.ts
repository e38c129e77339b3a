import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { dispatcherOptions } from "@gatehouse/dispatcher/config";
import { instanceOptions } from "@gatehouse/instance/config";
import type { OptionSet } from "@gatehouse/shared/read-config";
import { metricTables } from "./metric-docs.ts";
import { withWritten, type Marks } from "./written-part.ts";

/** Text that is printed from the option schemas and the metric catalogs, and the file it stands in. */
export interface GeneratedFile {
  readonly path: string;
  readonly content: string;
}

const OPTIONS: Marks = {
  begin: "<!-- options: printed from src/config.ts by deploy/generate-docs.ts -->",
  end: "<!-- end of options -->",
};
const METRICS: Marks = {
  begin: "<!-- metrics: printed from the catalogs by deploy/generate-docs.ts -->",
  end: "<!-- end of metrics -->",
};
const root = join(import.meta.dirname, "..");

/** Returns every generated file as it should be now. */
export async function generatedFiles(): Promise<readonly GeneratedFile[]> {
  const processes = [
    ["dispatcher", dispatcherOptions],
    ["instance", instanceOptions],
  ] as const;
  const files = processes.map(async ([name, options]) => {
    const readme = join(root, "packages", name, "README.md");
    return [
      { path: readme, content: withWritten(await readFile(readme, "utf8"), OPTIONS, optionTable(options)) },
      { path: join(root, "deploy", "env", `${name}.env.example`), content: envExample(name, options) },
    ];
  });
  const page = join(root, "docs", "metrics.md");
  const metrics = { path: page, content: withWritten(await readFile(page, "utf8"), METRICS, metricTables()) };
  return [...(await Promise.all(files)).flat(), metrics];
}

function optionTable(options: OptionSet): string {
  const rows = Object.values(options).map((option) => {
    const name = option.secret ? `\`${option.env}\` or \`${option.env}_FILE\`` : `\`${option.env}\``;
    const cells = [name, fallbackText(option), option.expected, option.describe];
    return `| ${cells.map((cell) => cell.replaceAll("|", String.raw`\|`)).join(" | ")} |`;
  });
  return ["| variable | default | value | what it is |", "|---|---|---|---|", ...rows].join("\n");
}

function fallbackText(option: OptionSet[string]): string {
  if (option.fallback === undefined) return option.required ? "**required**" : "not set";
  return option.fallback === "" ? "empty" : `\`${option.fallback}\``;
}

function envExample(name: string, options: OptionSet): string {
  const entries = Object.values(options).map((option) => {
    const comment = `# ${option.describe}\n# ${option.expected}.`;
    // A required option stands uncommented, so that a copied file names what is still to be filled in.
    if (option.required) return `${comment} Required.\n${option.env}=`;
    return `${comment}\n#${option.env}=${option.fallback ?? ""}`;
  });
  return [`# Environment of the ${name}; printed from its option schema.`, ...entries, ""].join("\n\n");
}
