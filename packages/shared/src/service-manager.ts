import type { Environment } from "./read-config.ts";

/** Milliseconds after which a program that tells the manager is ended: without a manager that reads, it would wait for nothing. */
const TELL_TIMEOUT_MS = 10_000;
/** Milliseconds between the end of a drain and that of its process: streams end in order, records are flushed. */
const DRAIN_MARGIN_MS = 30_000;
/** The program comes with systemd itself, so where somebody reads NOTIFY_SOCKET it is there. */
const PROGRAM = "systemd-notify";

/**
 * What the service manager is told of a process (sd_notify(3)): nothing without NOTIFY_SOCKET, so no process needs one.
 *
 * Node has no datagram sockets of the unix family, and an addon would tie the build to one ABI; so each word is told by a short-lived
 * `systemd-notify`. That takes 4 ms of CPU elsewhere and 2 to 4 ms of our event loop, in which the process is copied: nothing every 30 s,
 * too much every second. It is run without `--no-block`: the manager finds out whose word it is
 * by the sender's cgroup, and a sender that has ended before it is read has none. The unit needs `NotifyAccess=all`.
 */
export class ServiceManager {
  readonly #env: Environment;
  readonly #pid: number;
  readonly #onProblem: (problem: string) => void;
  /** Words arrive in the order in which they are said. */
  #told: Promise<void> = Promise.resolve();
  #watchdog: NodeJS.Timeout | undefined;
  #isPinging = false;
  #hasProblem = false;

  /** `pid`: of this very process. `onProblem` hears once why the manager can't be told. */
  constructor(env: Environment, pid: number, onProblem: (problem: string) => void) {
    this.#env = env;
    this.#pid = pid;
    this.#onProblem = onProblem;
  }

  /** It serves. From now on the manager hears twice per watchdog period that the event loop turns, if it asks for that. */
  ready(): void {
    void this.#tell("READY=1");
    const periodMs = watchdogPeriodMs(this.#env, this.#pid);
    if (periodMs === undefined || !this.#isListening) return;
    // A timer of the very loop that is watched: when that hangs, nothing is sent.
    this.#watchdog = setInterval(() => void this.#ping(), periodMs / 2).unref();
  }

  /**
   * It accepts nothing any more and lets its work end, for up to `drainMs`: how long that is only the process knows, and the manager's own
   * limit on a stop would cut it short. The watchdog goes on, since a drain can take days.
   */
  stopping(drainMs: number): void {
    void this.#tell("STOPPING=1", `EXTEND_TIMEOUT_USEC=${(drainMs + DRAIN_MARGIN_MS) * 1000}`);
  }

  /** Does what a reload is, between the two words that a manager waits for. */
  reloading(reload: () => void): void {
    // Since systemd 253 (Type=notify-reload) the time tells which of several reloads is meant; older ones pass over it.
    void this.#tell("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    reload();
    void this.#tell("READY=1");
  }

  /** Resolves when everything said so far has arrived. */
  async close(): Promise<void> {
    clearInterval(this.#watchdog);
    await this.#told;
  }

  get #isListening(): boolean {
    const socket = this.#env["NOTIFY_SOCKET"];
    return socket !== undefined && socket !== "";
  }

  async #ping(): Promise<void> {
    // One that is still on its way says the same; a pile of them would only load a machine that is slow already.
    if (this.#isPinging) return;
    this.#isPinging = true;
    await this.#tell("WATCHDOG=1");
    this.#isPinging = false;
  }

  #tell(...assignments: readonly string[]): Promise<void> {
    if (!this.#isListening) return this.#told;
    this.#told = this.#told.then(() => this.#run(assignments));
    return this.#told;
  }

  async #run(assignments: readonly string[]): Promise<void> {
    // Who is told nothing does not load it.
    const { spawn } = await import("node:child_process");
    const { promise, resolve } = Promise.withResolvers<void>();
    const { PATH, NOTIFY_SOCKET } = this.#env;
    // The secrets in our environment are none of its business.
    const child = spawn(PROGRAM, [`--pid=${this.#pid}`, ...assignments], {
      env: { PATH, NOTIFY_SOCKET },
      stdio: "ignore",
    });
    // Not the option of `spawn`, whose timer outlives a program that isn't there.
    const timer = setTimeout(() => child.kill("SIGKILL"), TELL_TIMEOUT_MS);
    const failed = (why: string): void => {
      if (!this.#hasProblem)
        this.#onProblem(`the service manager can't be told ${assignments.join(" ")}: ${why}`);
      this.#hasProblem = true;
      resolve();
    };
    child.once("error", (error) => failed(error.message));
    child.once("exit", (code, signal) =>
      code === 0 ? resolve() : failed(`${PROGRAM} ended with ${code ?? signal}`),
    );
    await promise.finally(() => clearTimeout(timer));
  }
}

/** Returns the period within which the manager wants a sign of life from this very process, in milliseconds (sd_watchdog_enabled(3)). */
export function watchdogPeriodMs(env: Environment, pid: number): number | undefined {
  const microseconds = Number(env["WATCHDOG_USEC"] ?? "0");
  const meant = env["WATCHDOG_PID"];
  if (!Number.isSafeInteger(microseconds) || microseconds < 1) return undefined;
  return meant === undefined || meant === String(pid) ? microseconds / 1000 : undefined;
}
