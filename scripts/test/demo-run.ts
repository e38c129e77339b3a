import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { DemoFile } from "../demo/demo-file.ts";

const MAIN = join(import.meta.dirname, "../demo/main.ts");
const PATIENCE_MS = 60_000;

/** One demo process started by a test. */
export interface DemoRun {
  readonly child: ChildProcess;
  readonly output: () => string;
  readonly ended: Promise<number | null>;
}

export function startDemo(args: readonly string[], env: NodeJS.ProcessEnv = {}): DemoRun {
  const child = spawn(process.execPath, [MAIN, ...args], {
    // An app of whoever runs the tests would make the demo wait for their browser.
    env: { ...process.env, GATEHOUSE_DEMO_PING_SECONDS: "0.2", GITHUB_CLIENT_ID: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let text = "";
  const collect = (chunk: Buffer): string => (text += chunk.toString());
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  const ended = once(child, "close").then(([code]) => code as number | null);
  return { child, output: () => text, ended };
}

/** Waits for demo.json, which is written when the run is over and everything serves. */
export async function demoFile(stateDir: string, run?: DemoRun): Promise<DemoFile> {
  return await until(`demo.json in ${stateDir}\n${run?.output() ?? ""}`, async () => {
    if (run && run.child.exitCode !== null) throw new Error(`the demo ended:\n${run.output()}`);
    const text = await readFile(join(stateDir, "demo.json"), "utf8").catch(() => undefined);
    return text === undefined ? undefined : (JSON.parse(text) as DemoFile);
  });
}

export async function until<T>(what: string, look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await delay(20);
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
