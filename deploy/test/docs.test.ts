/** Lists that stand twice say the same. */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { EVENTS } from "@gatehouse/shared/log-record";
import { alertFor, REFUSAL_REASONS } from "@gatehouse/dispatcher/tls-alert";
import { generatedFiles } from "../option-docs.ts";

const root = join(import.meta.dirname, "..", "..");
const read = (path: string): string => readFileSync(join(root, path), "utf8");

/** The cells of a Markdown table's rows whose first cell is code. */
function codeRows(markdown: string): string[][] {
  return markdown
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function codeWords(cell: string): string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? "");
}

/** Sections of the MCP specification's page "Security Best Practices" that describe an attack or a duty. */
const MCP_SECTIONS = [
  "Confused deputy",
  "Token passthrough",
  "SSRF",
  "Session hijacking",
  "Local MCP server compromise",
  "Scope minimisation",
];

function codeTitles(text: string): string[] {
  return [...text.matchAll(/"([^"]+)"/g)].map((match) => match[1] ?? "");
}

describe("the documentation", () => {
  test("lists every event, and no other", () => {
    const section = read("docs/architecture.md").split("## Events")[1]?.split("\n## ")[0] ?? "";
    const listed = codeRows(section).flatMap(([event = ""]) => codeWords(event));
    expect(new Set(listed)).toEqual(new Set(EVENTS));
  });

  test("lists every refusal of the dispatcher with its alert", () => {
    const section = read("docs/errors.md").split("## By the dispatcher")[1]?.split("\n## ")[0] ?? "";
    const rows = codeRows(section).map(([reason = "", answer = ""]) => [codeWords(reason)[0], answer]);
    // One is the instance's, the other comes before any TLS: neither has an alert.
    const withoutAlert = ["address_not_allowed", "bad_proxy_header"];
    expect(new Set(rows.map(([reason]) => reason))).toEqual(new Set([...REFUSAL_REASONS, ...withoutAlert]));
    for (const [reason = "", answer = ""] of rows) {
      const written = /alert (\d+)/.exec(answer)?.[1];
      const known = REFUSAL_REASONS.find((word) => word === reason);
      const alert = known === undefined ? undefined : alertFor(known)?.description;
      expect([reason, written]).toEqual([reason, alert === undefined ? undefined : String(alert)]);
    }
  });

  test("prints every option and every metric as schemas and catalogs have them", async () => {
    const files = await generatedFiles();
    expect(files).toHaveLength(5);
    // When this fails: node --conditions=source deploy/generate-docs.ts
    for (const { path, content } of files) expect(readFileSync(path, "utf8")).toBe(content);
  });

  test("points at files that exist", () => {
    const pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...globSync("docs/**/*.md", { cwd: root })];
    for (const page of pages) {
      for (const [, link = ""] of read(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)) {
        const target = join(root, page, "..", link);
        expect([page, link, globSync(target).length]).toEqual([page, link, 1]);
      }
    }
  });

  test("names, for every rule of the threat model, a test that exists", () => {
    const rows = read("docs/threat-model.md")
      .split("\n")
      .filter((line) => /^\| [A-Z]\d+ \|/.test(line));
    expect(rows.length).toBeGreaterThan(15);
    for (const row of rows) {
      const files = codeWords(row.split("|").at(-2) ?? "");
      expect([row, files.length > 0]).toEqual([row, true]);
      for (const file of files)
        expect([row, file, globSync(join(root, file)).length]).toEqual([row, file, 1]);
    }
  });

  test("names, for every attack of the suites, tests that exist", () => {
    const rows = read("docs/attack-suites.md")
      .split("\n")
      .filter((line) => line.includes(".test.ts`"))
      .filter((line) => line.startsWith("| "));
    expect(rows.length).toBeGreaterThan(40);
    for (const row of rows) {
      for (const [, file = "", titles = ""] of row.matchAll(/`([\w/.-]+\.test\.ts)`((?:[ ,]+"[^"]+")+)/g)) {
        const text = read(file.includes("/") ? file : `packages/instance/test/${file}`);
        for (const title of codeTitles(titles)) {
          const isThere = ['"', "`", "'"].some((quote) => text.includes(quote + title));
          expect([file, title, isThere]).toEqual([file, title, true]);
        }
      }
      expect(row.match(/\.test\.ts`(?! ")/g)).toBeNull();
    }
  });

  test("lists every section 4 of RFC 9700 and every section of the MCP security page once", () => {
    const page = read("docs/attack-suites.md");
    for (let section = 1; section <= 17; section += 1)
      expect(page).toMatch(new RegExp(`^\\| 4\\.${section}(?:\\.\\d)? `, "m"));
    for (const name of MCP_SECTIONS) expect(page.match(new RegExp(`^\\| ${name} \\|`, "gm"))).toHaveLength(1);
  });

  test("names, for every lesson of the original, a test that exists", () => {
    const lessons = read("docs/from-the-original.md").split("| it did |")[1] ?? "";
    const rows = lessons.split("\n").filter((line) => line.endsWith(".test.ts` |"));
    expect(rows.length).toBeGreaterThan(25);
    for (const row of rows) {
      for (const file of codeWords(row.split("|").at(-2) ?? "")) {
        expect([row, file, globSync(join(root, file)).length]).toEqual([row, file, 1]);
      }
    }
  });

  test("says in architecture.md only files that exist", () => {
    const tables = read("docs/architecture.md").split("## Events")[0] ?? "";
    const sources = globSync("packages/*/src/**/*.ts", { cwd: root }).map((path) => path.split("/").at(-1));
    for (const [, file] of tables.matchAll(/`([a-z-]+\.ts)`/g))
      expect([file, sources.includes(file)]).toEqual([file, true]);
  });
});

describe("the gate", () => {
  test("runs every test file there is", () => {
    const tests = globSync("**/*.test.ts", {
      cwd: root,
      exclude: (name) => name === "node_modules" || name === "dist",
    });
    const homes = ["packages/shared/", "packages/dispatcher/", "packages/instance/", "scripts/", "deploy/"];
    expect(tests.filter((path) => !homes.some((home) => path.startsWith(home)))).toEqual([]);
  });

  test("keeps packages apart: each depends on what is below it only", () => {
    const manifest = (path: string): { dependencies?: Record<string, string> } =>
      JSON.parse(read(`${path}/package.json`)) as { dependencies?: Record<string, string> };
    const own = (path: string): string[] =>
      Object.keys(manifest(path).dependencies ?? {}).filter((name) => name.startsWith("@gatehouse/"));
    expect(own("packages/shared")).toEqual([]);
    expect(own("packages/dispatcher")).toEqual(["@gatehouse/shared"]);
    expect(own("packages/instance")).toEqual(["@gatehouse/shared"]);
    expect(own("scripts/testbed")).toEqual([]);
    expect(own("scripts")).toEqual(["@gatehouse/shared", "@gatehouse/testbed"]);
    expect(own("deploy")).toEqual(["@gatehouse/dispatcher", "@gatehouse/instance"]);
  });
});
