// Rewrites what is printed from the option schemas: `node --conditions=source deploy/generate-docs.ts`.
import { writeGeneratedFiles } from "./option-docs.ts";

await writeGeneratedFiles();
