import { spawn, type ChildProcess, type StdioOptions } from "node:child_process";
import { once } from "node:events";

/** How a guarded process is started. */
export interface GuardedOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  readonly stdio?: StdioOptions;
  /** A temporary directory of the child, removed with it. */
  readonly directory?: string;
}

// Reads until this process is gone (the kernel closes our end of its stdin then, whatever killed us), and ends the child.
const WATCH = `trap "" INT HUP TERM; read -r line; kill -KILL "$1" 2>/dev/null; [ -z "$2" ] || rm -rf "$2"`;

/**
 * Starts a child that never outlives this process, not even when this process is killed with SIGKILL.
 * The child gets a process group of its own: Ctrl-C in a terminal reaches only this process, which ends it in order.
 */
export function startGuarded(
  command: string,
  args: readonly string[],
  options: GuardedOptions = {},
): ChildProcess {
  const { directory = "", stdio = "ignore", env, cwd } = options;
  const child = spawn(command, args, {
    stdio,
    detached: true,
    ...(env === undefined ? {} : { env }),
    ...(cwd === undefined ? {} : { cwd }),
  });
  if (child.pid === undefined) return child; // "error" follows: nothing was started
  const guard = spawn("/bin/sh", ["-c", WATCH, "guard", String(child.pid), directory], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  guard.on("error", () => undefined);
  guard.stdin.on("error", () => undefined);
  guard.unref();
  // The pipe alone must not keep this process running.
  if ("unref" in guard.stdin && typeof guard.stdin.unref === "function") guard.stdin.unref();
  // Once the child is gone its pid may belong to somebody else.
  child.once("exit", () => guard.kill("SIGKILL"));
  return child;
}

/**
 * Ends a child: `signal` first, SIGKILL when it is still there after `graceMs`. Resolves when it is gone.
 */
export async function endProcess(
  child: ChildProcess,
  signal: NodeJS.Signals,
  graceMs: number,
): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill(signal);
  const timer = setTimeout(() => child.kill("SIGKILL"), graceMs);
  await exited;
  clearTimeout(timer);
}
