import { spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";

/** Set for the process that stays in the background, by the one that started it. */
const BACKGROUND = "GATEHOUSE_DEMO_BACKGROUND";

/** True in the process that stays in the background, where no Ctrl-C reaches it. */
export function isBackground(env: NodeJS.ProcessEnv): boolean {
  return env[BACKGROUND] === "1";
}

const FOLLOW_INTERVAL_MS = 50;

/**
 * Starts the demo in a session of its own, shows what it prints until its run is over, and leaves it running.
 * Resolves with 0 when it is ready, else with its exit status; until then it ends with this process.
 */
export async function detach(logDir: string, args: readonly string[]): Promise<number> {
  mkdirSync(logDir, { recursive: true });
  const log = openSync(join(logDir, "demo.log"), "w+");
  const main = join(import.meta.dirname, "main.ts");
  const child = spawn(process.execPath, [main, ...args.filter((arg) => arg !== "--detach")], {
    detached: true,
    stdio: ["ignore", log, log, "ipc"],
    env: { ...process.env, [BACKGROUND]: "1" },
  });
  const stop = (): void => void child.kill("SIGTERM");
  process.on("SIGINT", stop).on("SIGTERM", stop).on("disconnect", stop);
  let position = 0;
  const follow = (): void => {
    const buffer = Buffer.alloc(65_536);
    for (
      let length: number;
      (length = readSync(log, buffer, 0, buffer.length, position)) > 0;
      position += length
    )
      process.stdout.write(buffer.toString("utf8", 0, length));
  };
  const timer = setInterval(follow, FOLLOW_INTERVAL_MS);
  const status = await new Promise<number>((settle) => {
    child.once("message", () => settle(0));
    child.once("exit", (code) => settle(code ?? 1));
    child.once("error", () => settle(1));
  });
  clearInterval(timer);
  follow();
  closeSync(log);
  return status;
}

/** When the demo should end, and who may still say so. */
export class StopRequests {
  readonly #isBackground: boolean;
  #isReady = false;
  /** Resolves when somebody wants the demo to end: Ctrl-C, SIGTERM, a closed terminal, the death of what started it. */
  readonly asked: Promise<"stop">;

  constructor(env: NodeJS.ProcessEnv) {
    this.#isBackground = isBackground(env);
    const { promise, resolve } = Promise.withResolvers<"stop">();
    const stop = (): void => resolve("stop");
    process.on("SIGINT", stop).on("SIGTERM", stop).on("SIGHUP", stop);
    if (process.connected)
      process.on("disconnect", () => {
        if (!this.#isBackground || !this.#isReady) stop();
      });
    this.asked = promise;
  }

  /** From now on a demo in the background stands on its own feet. */
  reportReady(): void {
    this.#isReady = true;
    if (this.#isBackground) process.send?.("ready", () => process.disconnect());
  }
}
