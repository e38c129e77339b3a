import { execFile } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "@jest/globals";

const LIFECYCLE = join(import.meta.dirname, "../src/process-lifecycle.ts");

/** Runs a process that fails that way once it has started; returns what it wrote and its exit status. */
async function crash(how: string): Promise<{ output: string; status: unknown }> {
  const script = `
    import { runProcess } from ${JSON.stringify(LIFECYCLE)};
    const error = Object.assign(new TypeError("secret-message"), { code: "E_CODE", command: { args: ["secret-argument"] } });
    await runProcess({}, async () => {
      setTimeout(function place() { ${how} }, 1);
      return { drain: async () => {} };
    });`;
  return await new Promise((resolve) => {
    execFile(process.execPath, ["--input-type=module", "--eval", script], (error, stdout, stderr) => {
      resolve({ output: stdout + stderr, status: error?.code });
    });
  });
}

test.each(["throw error;", "void Promise.reject(error);"])(
  "a crash ends the process with kind, code and place, and nothing that the error holds: %s",
  async (how) => {
    const { output, status } = await crash(how);
    expect(status).toBe(1);
    expect(output).toMatch(/^crashed: TypeError E_CODE\n +at /m);
    expect(output).not.toContain("secret");
  },
);
