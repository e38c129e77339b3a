import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import { NODE_FLAGS } from "@gatehouse/shared/node-flags";
import { REPOSITORY } from "./options.ts";

/** From spawn to the record that says it serves; 0.3 s on an idle machine. */
const START_TIMEOUT_MS = 30_000;

/** The record of `process_started`, as each tier words it. */
const SERVING = /\] (?:dispatcher listening on|instance started:) /;

/** From SIGTERM to SIGKILL: the demo's processes are told to drain for one second. */
const STOP_GRACE_MS = 5_000;

/** Variables of the caller's environment that a child gets; none that could point it at a system of the user's own. */
const PASSED_ON = [
  "PATH",
  "HOME",
  "TMPDIR",
  "TZ",
  "LANG",
  "LC_ALL",
  "NODE_OPTIONS",
  "NODE_EXTRA_CA_CERTS",
  "LOG_LEVEL",
];

export interface Role {
  readonly package: "dispatcher" | "instance";
  readonly name: string;
  /** A listening descriptor of ours that it inherits (sd_listen_fds(3)), in place of one of its own. */
  readonly descriptor?: number | undefined;
}

/** One process of the system under demonstration, from its build, writing to a log file of its own. */
export class GatehouseChild {
  readonly name: string;
  readonly logFile: string;
  readonly #child: ChildProcess;

  private constructor(name: string, logFile: string, child: ChildProcess) {
    this.name = name;
    this.logFile = logFile;
    this.#child = child;
  }

  /** Starts it and waits until its log says that it serves. @throws with the end of its log */
  static async start(role: Role, logDir: string, settings: Record<string, string>): Promise<GatehouseChild> {
    const logFile = join(logDir, `${role.name}.log`);
    const main = join(REPOSITORY, "packages", role.package, "dist/main.js");
    const inherited = PASSED_ON.flatMap((name) => {
      const value = process.env[name];
      return value === undefined ? [] : [[name, value] as const];
    });
    const log = openSync(logFile, "w");
    const { descriptor } = role;
    // The shell's pid becomes Node's by exec, as the protocol wants.
    const inheriting = ["sh", "-c", 'LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"', "sh"];
    const [command = "", ...args]: readonly string[] = [
      ...(descriptor === undefined ? [] : inheriting),
      process.execPath,
      ...NODE_FLAGS[role.package],
      main,
    ];
    const child = startGuarded(command, args, {
      env: { ...Object.fromEntries(inherited), ...settings },
      stdio: ["ignore", log, log, ...(descriptor === undefined ? [] : [descriptor])],
    });
    closeSync(log);
    child.once("error", () => undefined); // seen below as a process without pid
    const started = new GatehouseChild(role.name, logFile, child);
    await started.#untilServing();
    return started;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#child.pid === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Calls back when the process ends by itself. */
  onEnd(callback: (how: string) => void): void {
    this.#child.once("exit", (code, signal) => callback(signal ?? `exit status ${code}`));
  }

  async stop(): Promise<void> {
    await endProcess(this.#child, "SIGTERM", STOP_GRACE_MS);
  }

  async #untilServing(): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (!this.hasEnded && performance.now() < deadline) {
      if (SERVING.test(readFileSync(this.logFile, "utf8"))) return;
      await delay(20);
    }
    const reason = this.hasEnded
      ? "ended while starting"
      : `did not say that it serves in ${START_TIMEOUT_MS} ms`;
    await endProcess(this.#child, "SIGKILL", STOP_GRACE_MS);
    const lines = readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-15);
    throw new Error(`${this.name} ${reason}; its log (${this.logFile}) ends with\n${lines.join("\n")}`);
  }
}
