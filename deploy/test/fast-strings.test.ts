/** What a process loads must not leave every string in it slow: see `packages/shared/src/fast-strings.ts`. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "@jest/globals";

const PACKAGES = join(import.meta.dirname, "../../packages");

/** Loads a module in a process of its own, and tells whether V8 has `String.prototype` in its fast form afterwards. */
function isFastAfter(module: string): boolean {
  const script = `await import(${JSON.stringify(module)}); process.exit(%HasFastProperties(String.prototype) ? 0 : 9);`;
  try {
    execFileSync(process.execPath, ["--allow-natives-syntax", "--input-type=module", "-e", script], {
      cwd: join(PACKAGES, "shared"),
      stdio: ["ignore", "ignore", "pipe"],
    });
    return true;
  } catch (error) {
    if ((error as { status?: unknown }).status === 9) return false;
    throw error;
  }
}

test.each(["dispatcher/dist/dispatcher.js", "instance/dist/instance.js", "instance/dist/protection.js"])(
  "%s leaves strings fast",
  (path) => expect(isFastAfter(join(PACKAGES, path))).toBe(true),
);

test("ioredis alone does not: the day it does, fast-strings.ts can go", () => {
  expect(isFastAfter("ioredis")).toBe(false);
});
