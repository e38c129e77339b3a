import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { MUTATED_MODULES } from "../mutation/modules.ts";
import { scoreOf, sumOf } from "../mutation/mutation-report.ts";

const ROOT = join(import.meta.dirname, "../..");

describe.each(MUTATED_MODULES)("the module $name", ({ name, package: place, files }) => {
  test("names files that exist", () => {
    const paths = files.flatMap(({ source, tests }) => [
      source,
      ...tests.map((each) => `test/${each}.test.ts`),
    ]);
    expect(paths.filter((path) => !existsSync(join(ROOT, "packages", place, path)))).toEqual([]);
  });

  test("has a row in docs/mutation.md", () => {
    const page = readFileSync(join(ROOT, "docs/mutation.md"), "utf8");
    expect(page.split("\n").filter((line) => line.startsWith(`| ${name} |`))).toHaveLength(1);
  });
});

test("a mutant that runs into its time was noticed, one that no test reaches was not", () => {
  const source = "first\nif (a) {\n  b();\n}\n";
  const mutant = (status: string, line: number, replacement: string) => ({
    mutatorName: "Any",
    replacement,
    status,
    location: { start: { line, column: 5 }, end: { line, column: 6 } },
  });
  const mutants = [
    mutant("Killed", 2, "true"),
    mutant("Timeout", 2, "false"),
    mutant("NoCoverage", 2, "!a"),
    mutant("Survived", 3, "x".repeat(100)),
    mutant("RuntimeError", 2, "?"),
  ];
  expect(scoreOf({ files: { "packages/x/src/y.ts": { source, mutants } } })).toEqual({
    killed: 2,
    total: 4,
    survivors: ["y.ts:2 Any: a -> !a", `y.ts:3 Any: ) -> ${"x".repeat(70)}…`],
  });
});

test("a module's score is the sum of its files'", () => {
  const one = { killed: 2, total: 3, survivors: ["a.ts:1 Any: x -> y"] };
  const other = { killed: 5, total: 6, survivors: ["b.ts:1 Any: x -> y"] };
  expect(sumOf([one, other])).toEqual({
    killed: 7,
    total: 9,
    survivors: ["a.ts:1 Any: x -> y", "b.ts:1 Any: x -> y"],
  });
});
