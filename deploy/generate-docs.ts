// Rewrites what is printed from the option schemas and the metric catalogs: `node --conditions=source deploy/generate-docs.ts`.
import { writeFile } from "node:fs/promises";
import { generatedFiles } from "./option-docs.ts";

for (const { path, content } of await generatedFiles()) await writeFile(path, content);
