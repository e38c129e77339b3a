import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { until } from "@gatehouse/testbed/until";

const MAIN = new URL("../../src/main.ts", import.meta.url).pathname;

/** A dispatcher as its own process, started from source. */
export class DispatcherProcess {
  readonly child: ChildProcess;
  /** Everything it printed. */
  output = "";
  readonly #exited: Promise<number | null>;

  private constructor(child: ChildProcess) {
    this.child = child;
    child.stdout?.on("data", (data: Buffer) => (this.output += data.toString()));
    child.stderr?.on("data", (data: Buffer) => (this.output += data.toString()));
    this.#exited = once(child, "exit").then(([code]) => code as number | null);
  }

  /** Starts and waits until it listens. `fd`: a listening descriptor to inherit as the only one. */
  static async start(env: Record<string, string>, fd?: number): Promise<DispatcherProcess> {
    const started = DispatcherProcess.launch(env, fd);
    await until(() => {
      if (started.child.exitCode !== null) throw new Error(`exited early: ${started.output}`);
      return started.output.includes("listening on");
    });
    return started;
  }

  static launch(env: Record<string, string>, fd?: number): DispatcherProcess {
    const node = [process.execPath, "--conditions=source", MAIN];
    const all = { PATH: process.env["PATH"], GATEHOUSE_DISPATCHER_LISTEN: "127.0.0.1:0", ...env };
    // The shell's pid becomes Node's by exec, as the protocol wants (sd_listen_fds(3)).
    const command =
      fd === undefined ? node : ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh", ...node];
    const [program = "", ...args] = command;
    return new DispatcherProcess(
      startGuarded(program, args, {
        env: all,
        stdio: ["ignore", "pipe", "pipe", ...(fd === undefined ? [] : [fd])],
      }),
    );
  }

  get port(): number {
    return Number(/listening on [^\n]*?:(\d+)/.exec(this.output)?.[1]);
  }

  get adminUrl(): string {
    return /admin on (\S+)/.exec(this.output)?.[1] ?? "";
  }

  async metric(name: string): Promise<number> {
    const text = await (await fetch(`${this.adminUrl}/metrics`)).text();
    const line = text.split("\n").find((one) => one.startsWith(`gatehouse_dispatcher_${name} `));
    return Number(line?.split(" ")[1]);
  }

  /** Sends the signal and returns the exit status. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<number | null> {
    await endProcess(this.child, signal, 15_000);
    return this.#exited;
  }

  exited(): Promise<number | null> {
    return this.#exited;
  }
}
