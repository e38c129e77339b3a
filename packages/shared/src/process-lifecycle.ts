import { ConfigError, EXIT_CONFIG } from "./config-error.ts";
import type { Environment } from "./read-config.ts";
import { RestCollection } from "./rest-collection.ts";
import { ServiceManager } from "./service-manager.ts";

/** A started process, as its supervisor sees it. */
export interface RunningProcess {
  /** SIGHUP: read certificates and the like again. Must not throw. */
  reload?(): void;
  /** Milliseconds that open work gets after a TERM. */
  readonly drainMs: number;
  /** Stop accepting, let work end up to the process's own deadline, close everything, flush records. */
  drain(): Promise<void>;
}

/**
 * Starts a process and ties it to its signals: TERM and INT drain and exit 0, a second one exits 1 at once, HUP reloads.
 * A {@link ConfigError} is printed and exits 78; any other failure to start is printed and exits 1. Signals that arrive while it
 * still starts are kept and obeyed as soon as it has started, so that nothing half-open is left behind. A service manager that asks for
 * it (NOTIFY_SOCKET in `env`) hears of each step. Once started, it gives memory back when it is at rest.
 */
export async function runProcess(env: Environment, start: () => Promise<RunningProcess>): Promise<void> {
  const manager = new ServiceManager(env, process.pid, (problem) => process.stderr.write(`${problem}\n`));
  let running: RunningProcess | undefined;
  let stopping = false;
  const stop = (): void => {
    if (stopping && running) process.exit(1);
    stopping = true;
    if (running) void drainAndExit(running, manager);
  };
  process.on("uncaughtException", crash);
  process.on("SIGTERM", stop).on("SIGINT", stop);
  process.on("SIGHUP", () => {
    if (running && !stopping) manager.reloading(() => running?.reload?.());
    else running?.reload?.();
  });
  try {
    running = await start();
  } catch (error) {
    process.stderr.write(`${startFailure(error)}\n`);
    process.exit(error instanceof ConfigError ? EXIT_CONFIG : 1);
  }
  if (stopping) await drainAndExit(running, manager);
  else manager.ready();
  new RestCollection({ collect: globalThis.gc }).start();
}

/**
 * Node prints an error nobody caught with all its properties, and a store's error has the command it belongs to, values and all. Name,
 * code and place are what a fault is found by.
 */
function crash(error: unknown): void {
  const { name = "error", stack = "", code } = error as Partial<Error> & { readonly code?: unknown };
  const frames = stack.split("\n").filter((line) => /^\s+at /.test(line));
  const what = typeof code === "string" && /^[A-Z0-9_]+$/.test(code) ? `${name} ${code}` : name;
  process.stderr.write([`crashed: ${what}`, ...frames, ""].join("\n"));
  process.exit(1);
}

async function drainAndExit(running: RunningProcess, manager: ServiceManager): Promise<void> {
  try {
    manager.stopping(running.drainMs);
    await running.drain();
    await manager.close();
    process.exit(0);
  } catch (error) {
    process.stderr.write(`drain failed: ${startFailure(error)}\n`);
    process.exit(1);
  }
}

function startFailure(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
