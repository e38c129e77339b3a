// Puts a process into one file, in place of the main.js that tsc has written: `node ../../bundle.mjs` in its package. Node takes as long to
// find and read three hundred modules as to run them, and everything that a process needs to answer is loaded before its first answer.
import { existsSync, rmSync } from "node:fs";
import { build } from "esbuild";

/** What else is started by its path, and has to lie beside main.js. */
const THREADS = { "order-thread": "src/acme/order-thread.ts" };

rmSync("dist/chunks", { recursive: true, force: true });
await build({
  entryPoints: [
    { in: "src/main.ts", out: "main" },
    ...Object.entries(THREADS)
      .filter(([, path]) => existsSync(path))
      .map(([out, path]) => ({ in: path, out })),
  ],
  outdir: "dist",
  bundle: true,
  // What is imported when it is needed stays out of main.js until then.
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  format: "esm",
  platform: "node",
  target: "node22",
  // Names and lines as they are in stack traces and profiles.
  minify: false,
  legalComments: "eof",
  // Packages of the older module system ask for Node's modules by `require`.
  banner: {
    js: 'import { createRequire } from "node:module";const require = createRequire(import.meta.url);',
  },
  logLevel: "warning",
});
