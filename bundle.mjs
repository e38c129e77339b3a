// Puts a process into one file, in place of the main.js that tsc has written: `node ../../bundle.mjs [ENTRY DIRECTORY]` in its package. Node
// takes as long to find and read three hundred modules as to run them, and everything that a process needs to answer is loaded before its
// first answer.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { build } from "esbuild";

const [, , entry = "src/main.ts", directory = "dist"] = process.argv;

/** What else is started by its path, and has to lie beside main.js. */
const THREADS = { "order-thread": "src/acme/order-thread.ts" };

/**
 * An `import` of a module of Node's own reads every export of it once, and three of `node:http` are getters that load the whole of
 * Node's fetch: a tenth of the time that a process takes to start. Asked for in this way it stays where it is.
 */
const httpWithoutFetch = {
  name: "http-without-fetch",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:node:)?http$/ }, ({ kind }) =>
      kind === "import-statement" ? { path: "http", namespace: "builtin" } : undefined,
    );
    onLoad({ filter: /^http$/, namespace: "builtin" }, () => ({
      contents: 'module.exports = process.getBuiltinModule("node:http");',
    }));
  },
};

/**
 * undici and http-proxy-3 load Node's HTTP/2 at once, 9 ms, and call it late: undici when a server has chosen it, http-proxy-3 when it
 * listens, which it never does here. So it is loaded when they call it.
 */
const http2WhenCalled = {
  name: "http2-when-called",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^\.\/client-h2\.js$/ }, ({ resolveDir }) => ({
      path: join(resolveDir, "client-h2.js"),
      namespace: "undici-h2",
    }));
    onLoad({ filter: /./, namespace: "undici-h2" }, ({ path }) => ({
      contents: `module.exports = (...args) => require(${JSON.stringify(path)})(...args);`,
      resolveDir: dirname(path),
    }));
    onResolve({ filter: /^node:http2$/ }, ({ importer }) =>
      importer.includes("/http-proxy-3/") ? { path: "http2", namespace: "http-proxy-h2" } : undefined,
    );
    onLoad({ filter: /./, namespace: "http-proxy-h2" }, () => ({
      contents:
        'exports.createSecureServer = (...args) => process.getBuiltinModule("node:http2").createSecureServer(...args);',
    }));
  },
};

/** Run before ioredis adds its six hundred methods: V8 copies all it knows of a prototype for each, unless one was taken from it. */
const TAKE_A_METHOD = `
  const { getBuiltinCommands } = Commander.prototype;
  delete Commander.prototype.getBuiltinCommands;
  Object.defineProperty(Commander.prototype, "getBuiltinCommands", {
    value: getBuiltinCommands, writable: true, configurable: true,
  });
`;

/** Spares 10 ms of each start. Fails the build where ioredis has changed. */
const ioredisMethods = {
  name: "ioredis-methods",
  setup({ onLoad }) {
    onLoad({ filter: /ioredis\/built\/utils\/Commander\.js$/ }, ({ path }) => {
      const source = readFileSync(path, "utf8");
      const place = "commands.forEach(";
      if (source.split(place).length !== 2) throw new Error(`ioredis defines its methods otherwise: ${path}`);
      return { contents: source.replace(place, `${TAKE_A_METHOD}${place}`) };
    });
  },
};

/** What a file needs of undici, whose index loads mocks, caches, proxies and the whole of fetch with it: where each export lies, and as what. */
const UNDICI_PARTS = {
  "upstream-pool": {
    Client: ["dispatcher/client.js", "default"],
    buildConnector: ["core/connect.js", "default"],
  },
  "packages-node": { Client: ["dispatcher/client.js", "default"] },
  "document-fetch": { Agent: ["dispatcher/agent.js", "default"], fetch: ["web/fetch/index.js", "fetch"] },
};

/**
 * A file that is listed and asks for more than is listed fails the build, as does a part that has moved; one that is there under another
 * name fails the process that loads it. A file that is not listed gets the index.
 */
const undiciInParts = {
  name: "undici-in-parts",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^undici$/ }, ({ importer }) => {
      const file = basename(importer, extname(importer));
      return file in UNDICI_PARTS
        ? { path: file, namespace: "undici-part", pluginData: dirname(importer) }
        : undefined;
    });
    onLoad({ filter: /./, namespace: "undici-part" }, ({ path, pluginData }) => ({
      contents: Object.entries(UNDICI_PARTS[path])
        .map(([name, [file, exported]]) => undiciPart(name, file, exported))
        .join("\n"),
      resolveDir: pluginData,
    }));
  },
};

function undiciPart(name, file, exported) {
  return `
    import { ${exported} as ${name} } from "undici/lib/${file}";
    if (typeof ${name} !== "function") throw new TypeError("undici has no ${name} in ${file}");
    export { ${name} };`;
}

rmSync(join(directory, "chunks"), { recursive: true, force: true });
await build({
  entryPoints: [
    { in: entry, out: "main" },
    ...Object.entries(THREADS)
      .filter(([, path]) => existsSync(path))
      .map(([out, path]) => ({ in: path, out })),
  ],
  outdir: directory,
  bundle: true,
  // What is imported when it is needed stays out of main.js until then.
  splitting: true,
  chunkNames: "chunks/[name]-[hash]",
  format: "esm",
  platform: "node",
  target: "node22",
  // Names stay as they are in stack traces and profiles. Comments go: a source is kept in memory as long as its process lives, and one
  // letter that is not Latin-1, in a comment of a package, makes V8 keep two octets for each of a file's.
  minifyWhitespace: true,
  sourcemap: "linked",
  sourcesContent: false,
  legalComments: "eof",
  // Packages of the older module system ask for Node's modules by `require`.
  banner: {
    js: 'import { createRequire } from "node:module";const require = createRequire(import.meta.url);',
  },
  plugins: [httpWithoutFetch, http2WhenCalled, undiciInParts, ioredisMethods],
  // winston's diagnostics come in two forms, and the one for development loads a palette of colours.
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
});
