import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { LogBed } from "./support/log-bed.ts";
import { STORY } from "./support/story.ts";

const GATEHOUSE = join(import.meta.dirname, "../gatehouse");

let bed: LogBed;

beforeAll(async () => {
  bed = await LogBed.open();
});
afterAll(async () => {
  await bed?.close();
});

interface Watch {
  readonly columns: number;
  /** What is done as soon as the screen shows a text, one after the other; behind the last one Ctrl-C is typed. */
  readonly steps: readonly (readonly [shown: string, act?: () => Promise<void>])[];
}

/** Everything that a command writes to a real terminal of that width. */
async function onTerminal(command: string, { columns, steps }: Watch): Promise<string> {
  const shell = `stty cols ${columns} rows 30; exec ${command}`;
  const child = spawn("script", ["-q", "-e", "-c", shell, "/dev/null"], {
    env: { ...bed.environment, TERM: "xterm-256color" },
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  let screen = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (screen += text));
  for (const [shown, act] of steps) {
    while (!screen.includes(shown)) await Promise.race([once(child.stdout, "data"), ended]);
    await act?.();
  }
  child.stdin.write("\u0003");
  expect(await ended).toEqual([0, null]);
  return screen.replaceAll("\r\n", "\n").replace(/\^C\n?$/, "");
}

const ESCAPES = /\u001b\[\d+m/g;

describe("gatehouse log follow on a terminal", () => {
  // What came before, and what comes while somebody watches, look the same.
  test.each([80, 120])("of %d columns", async (columns) => {
    await bed.redis.flushall();
    await bed.store(STORY.slice(0, 3));
    const screen = await onTerminal(`${GATEHOUSE} log follow`, {
      columns,
      steps: [["401", () => bed.store(STORY.slice(3))], ["66.7m"]],
    });
    const golden = readFileSync(join(import.meta.dirname, `golden/log-follow-${columns}.txt`), "utf8");
    expect(screen.replaceAll(ESCAPES, "")).toBe(golden);
    for (const line of golden.split("\n")) expect(line.length).toBeLessThanOrEqual(columns);
    // Nothing but colours: no cursor is moved, no line is drawn twice, so nothing can flicker.
    expect(screen.replaceAll(ESCAPES, "")).not.toContain("\u001b");
    expect(screen).toContain("\u001b[33m⚠ 401\u001b[0m");
    expect(screen).toContain("\u001b[31m✗ 502\u001b[0m");
  });

  test("leaves out the columns that a filter makes the same in every line", async () => {
    await bed.redis.flushall();
    await bed.store(STORY);
    const command = `${GATEHOUSE} log follow --hostname fast-echo.example.com --ip 34.162.102.82`;
    const screen = await onTerminal(command, { columns: 80, steps: [["197ms"]] });
    expect(screen.replaceAll(ESCAPES, "")).toBe(
      "-- 2025-08-30 (UTC) --\n08:07:03 ✓ 200 tools/call get_weather POST /mcp                            197ms\n",
    );
  });

  test("a page is in the contract's form, coloured on a terminal only and never under NO_COLOR", async () => {
    await bed.redis.flushall();
    await bed.store(STORY);
    const page = `${GATEHOUSE} log ip 34.162.102.82 --follow`;
    const coloured = await onTerminal(page, { columns: 80, steps: [["req-01JD5K3000000000000000000E"]] });
    const { out } = bed.log("ip", "34.162.102.82");
    expect(coloured).toContain("\u001b[32m✓ 200\u001b[0m");
    expect(coloured.replaceAll(ESCAPES, "")).toBe(out);
    expect(out).not.toContain("\u001b");
    const plain = await onTerminal(`env NO_COLOR=1 ${page}`, {
      columns: 80,
      steps: [["req-01JD5K3000000000000000000E"]],
    });
    expect(plain).toBe(out);
  });
});
