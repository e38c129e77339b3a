import { chmod, mkdir, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "@jest/globals";
import { readStateFile, writeStateFile } from "../src/state-file.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-state-"));
});

afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

test("what was written is read back, and a second write replaces it whole", async () => {
  const path = join(directory, "routes.json");
  await writeStateFile(path, "a longer first content ✓");
  await writeStateFile(path, "short");
  expect(await readStateFile(path)).toBe("short");
  expect(await readdir(directory)).toEqual(["routes.json"]);
});

test("a file that is not there reads as undefined", async () => {
  expect(await readStateFile(join(directory, "none.json"))).toBeUndefined();
  expect(await readStateFile(join(directory, "no", "directory.json"))).toBeUndefined();
});

test("the file is mode 0600 and a directory that was missing 0700", async () => {
  const path = join(directory, "new", "state", "routes.json");
  await writeStateFile(path, "x");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await stat(join(directory, "new"))).mode & 0o777).toBe(0o700);
  expect((await stat(join(directory, "new", "state"))).mode & 0o777).toBe(0o700);
});

test("a file that others could read is closed to them by the next write", async () => {
  const path = join(directory, "routes.json");
  await writeFile(path, "old");
  await chmod(path, 0o644);
  await writeStateFile(path, "new");
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test("a write that fails leaves the old content and no litter", async () => {
  const path = join(directory, "routes.json");
  await mkdir(join(path, "in-the-way"), { recursive: true });
  await expect(writeStateFile(path, "new")).rejects.toThrow(/EISDIR|ENOTEMPTY|EEXIST/);
  expect(await readdir(directory)).toEqual(["routes.json"]);
});

test("a reader beside many writes never sees a part", async () => {
  const path = join(directory, "routes.json");
  const contents = { even: "a".repeat(200_000), odd: "b".repeat(200_000) };
  await writeStateFile(path, contents.even);
  const writer = { isDone: false };
  const reads = (async () => {
    let count = 0;
    while (!writer.isDone) {
      expect([contents.even, contents.odd]).toContain(await readStateFile(path));
      count += 1;
    }
    return count;
  })();
  for (let turn = 0; turn < 20; turn += 1) {
    await writeStateFile(path, turn % 2 === 0 ? contents.even : contents.odd);
  }
  writer.isDone = true;
  expect(await reads).toBeGreaterThan(0);
});

test("a file over the bound is refused, one at the bound is read", async () => {
  const path = join(directory, "routes.json");
  await writeFile(path, "123456");
  await expect(readStateFile(path, 5)).rejects.toThrow(RangeError);
  expect(await readStateFile(path, 6)).toBe("123456");
});
