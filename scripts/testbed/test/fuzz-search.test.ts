import { expect, test } from "@jest/globals";
import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Search, type SearchState } from "../fuzz/search.ts";
import { inputLine, keptInputs, type FuzzTarget } from "../fuzz/target.ts";
import { plantedFault } from "./support/planted-fault.ts";

const target: FuzzTarget = {
  name: "planted",
  guides: ["testbed/test/support/planted-fault.ts"],
  seeds: [Buffer.from("hello")],
  dictionary: ["G"],
  maxBytes: 20,
  check: (input) => void plantedFault(input),
};
const NOTHING: SearchState = { seed: 7, inputs: 0, corpus: [], finds: [] };
const MAX_STEPS = 150;

test("finds a fault three conditions deep, led there by the blocks that inputs reach, and cuts it down", async () => {
  const search = await Search.start(target, NOTHING);
  for (let steps = 0; steps < MAX_STEPS && search.state.finds.length === 0; steps++) await search.step(2000);
  search.close();
  expect(search.state.finds.map(({ problem }) => problem)).toEqual(["RangeError: planted: the fault"]);
  expect(search.state.finds[0]?.input.toString("hex")).toBe("4702ff80");
  // One for each step on the way, and no input that reaches nothing new.
  expect(search.state.corpus.length).toBeGreaterThan(2);
  expect(search.state.corpus.length).toBeLessThan(8);
});

test("without blocks to guide it the same number of inputs does not find it", async () => {
  const search = await Search.start({ ...target, guides: [] }, NOTHING);
  for (let steps = 0; steps < 20; steps++) await search.step(2000);
  search.close();
  expect(search.state).toMatchObject({ inputs: 40_000, finds: [], corpus: [] });
});

test("goes on where another process was stopped", async () => {
  const first = await Search.start(target, NOTHING);
  await first.step(1500);
  await first.step(1500);
  first.close();
  const second = await Search.start(target, first.state);
  expect(second.state.inputs).toBe(3000);
  expect(second.state.corpus.map(inputLine)).toEqual(first.state.corpus.map(inputLine));
  await second.step(10);
  second.close();
  expect(second.state.inputs).toBe(3010);
});

test("kept inputs are lines of printable ASCII that give back every octet", async () => {
  const directory = await mkdtemp(join(tmpdir(), "kept-"));
  const every = Buffer.from(Array.from({ length: 256 }, (_, octet) => octet));
  expect(inputLine(every)).toMatch(/^[ -~]+$/);
  await mkdir(join(directory, "kept"));
  await writeFile(join(directory, "kept/planted.txt"), `# a comment\n${inputLine(every)}\n`);
  expect(keptInputs(directory, "planted")).toEqual([every]);
  expect(keptInputs(directory, "another")).toEqual([]);
  await rm(directory, { recursive: true });
});
