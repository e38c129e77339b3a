import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { renderRuns } from "../soak/page.ts";
import { addRun, minutesOf, readRuns, type Run } from "../soak/state.ts";
import { withWritten } from "../written-part.ts";
import { exceeding } from "./support/held-size.ts";

let directory: string;

beforeAll(async () => {
  directory = await mkdtemp("/tmp/gatehouse-soak-");
});
afterAll(async () => {
  await rm(directory, { recursive: true });
});

const RUN: Run = {
  day: "2026-11-26T12:00:00.000Z",
  commit: "abc1234",
  minutes: 5,
  counts: { uploads: { tried: 10, failed: 0, interrupted: 1 } },
  events: { "config changes": 3 },
  held: [{ role: "dispatcher", descriptors: [30, 30], megabytes: [70, 72] }],
  redis: { megabytes: 9, boundMegabytes: 20, keys: 100, endless: 0 },
  missed: [],
};

test("runs of a soak add up over several processes, and the page has them all", async () => {
  const path = join(directory, "deeper/soak.json");
  await expect(readRuns(path)).resolves.toEqual([]);
  await addRun(path, RUN);
  const runs = await addRun(path, { ...RUN, minutes: 7.5, missed: ["uploads: 1 failed"] });
  await expect(readRuns(path)).resolves.toEqual(runs);
  expect(minutesOf(runs)).toBe(12.5);
  const page = renderRuns(runs);
  expect(page).toContain("12.5 minutes in sum, in 2 runs");
  expect(page).toContain("| uploads | 20 | 0 | 2 |");
  expect(page).toContain("**uploads: 1 failed**");
});

test("a process that holds one descriptor more, or a tenth more memory, or is gone, is told", () => {
  const before = {
    same: { descriptors: 20, residentBytes: 1000 },
    descriptors: { descriptors: 20, residentBytes: 1000 },
    memory: { descriptors: 20, residentBytes: 1000 },
    gone: { descriptors: 20, residentBytes: 1000 },
  };
  const now = {
    same: { descriptors: 20, residentBytes: 1100 },
    descriptors: { descriptors: 21, residentBytes: 900 },
    memory: { descriptors: 19, residentBytes: 1101 },
  };
  expect(exceeding(now, before)).toEqual(["descriptors", "memory", "gone"]);
});

test("what a program writes into a page takes the place of what it wrote last, and nothing else", () => {
  const marks = { begin: "<!-- a -->", end: "<!-- b -->" };
  const page = "above\n\n<!-- a -->\n\nold\n<!-- b -->\n\nbelow\n";
  expect(withWritten(page, marks, "new")).toBe("above\n\n<!-- a -->\n\nnew\n<!-- b -->\n\nbelow\n");
  expect(() => withWritten("no marks", marks, "new")).toThrow("lost its marks");
});
