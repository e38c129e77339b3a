import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { CommandBed } from "./support/command-bed.ts";

const GATEHOUSE = join(import.meta.dirname, "../gatehouse");
const HOST = "simple.example.com";
let bed: CommandBed;

beforeAll(async () => {
  bed = await CommandBed.open();
});
beforeEach(async () => {
  await bed.redis.mset({ [`route:${HOST}`]: "13001", [`proxy:${HOST}`]: '{"target_url":"http://x"}' });
});
afterAll(async () => {
  await bed?.close();
});

/** Runs a command on a real terminal and types something once it has asked. */
async function typed(command: string, text: string): Promise<{ status: unknown; screen: string }> {
  const child = spawn("script", ["-q", "-e", "-c", `exec ${GATEHOUSE} ${command}`, "/dev/null"], {
    env: { ...bed.environment, TERM: "xterm" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  let screen = "";
  child.stdout.setEncoding("utf8").on("data", (part: string) => (screen += part));
  while (!screen.includes("[y/N]")) await Promise.race([once(child.stdout, "data"), ended]);
  child.stdin.write(text);
  const [status] = (await ended) as unknown[];
  return { status, screen };
}

describe("a question on a terminal", () => {
  test.each([
    ["y\r", 0, 0],
    ["yes\r", 0, 0],
    ["n\r", 1, 2],
    ["\r", 1, 2],
    // The end of the input, and Ctrl-C.
    ["\u0004", 1, 2],
    ["\u0003", 1, 2],
  ])("answered by %j: exit %d, %d keys are left", async (text, expected, left) => {
    const { status, screen } = await typed(`host remove ${HOST} --no-stop`, text);
    expect(screen).toContain(`Remove ${HOST}? [y/N]`);
    expect([status, (await bed.redis.keys("*")).length]).toEqual([expected, left]);
  });

  test("whoever applies a file sees the difference first", async () => {
    const file = join(bed.server.socketPath, "../hosts.json");
    bed.run("config", "export", file);
    await bed.redis.set(`route:${HOST}`, "13002");
    const { status, screen } = await typed(`config apply ${file}`, "y\r");
    expect(screen).toMatch(/~ simple\.example\.com\s+route: 13002 -> 13001[^]*Write 1 change\? \[y\/N\]/);
    expect([status, await bed.redis.get(`route:${HOST}`)]).toEqual([0, "13001"]);
  });
});
