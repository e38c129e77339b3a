import { expect, test } from "@jest/globals";
import { spawnSync } from "node:child_process";
import { join } from "node:path";

const RUN = join(import.meta.dirname, "../run.mjs");

test("the launcher says what it can do when it does not know the command, also an inherited property", () => {
  for (const name of ["", "toString", "deploy"]) {
    const { status, stderr } = spawnSync(process.execPath, [RUN, name], { encoding: "utf8" });
    expect([status, stderr]).toEqual([2, expect.stringContaining("demo | demo-stop | test | check")]);
  }
});

test("demo:stop without a demo says so and succeeds", () => {
  const args = [RUN, "demo-stop", "--state-dir", join(import.meta.dirname, "no-such-directory")];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect([status, stdout]).toEqual([0, expect.stringContaining("no demo runs")]);
});
