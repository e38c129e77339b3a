import { existsSync } from "node:fs";
import { join } from "node:path";
import { NODE_FLAGS } from "@gatehouse/shared/node-flags";
import type { ChildProcess } from "node:child_process";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import { RecordReader, type PrintedRecord } from "./record-reader.ts";

/** From spawn to the record that says it serves, on a machine with every core busy. */
const START_TIMEOUT_MS = 30_000;
/** Default wait for a record; they arrive in milliseconds. */
const RECORD_TIMEOUT_MS = 15_000;
/** From SIGTERM to SIGKILL, for a process whose drain deadline a test has not shortened. */
const STOP_GRACE_MS = 15_000;

/** The record of `process_started`, as each tier words it. */
const SERVING = /\] (?:dispatcher listening on|instance started:) /;

type Tier = keyof typeof NODE_FLAGS;

/** How a process of Gatehouse is started: its build, with the flags it is deployed with. */
export interface ProcessSpec {
  /** `dispatcher`, or the hostname of an instance. */
  readonly role: string;
  readonly tier: Tier;
  /** Put before the command: where it runs. */
  readonly enter?: readonly string[] | undefined;
  env: Readonly<Record<string, string>>;
  /** Told everything it writes, to stdout and stderr, as it comes. */
  readonly onOutput?: ((text: string) => void) | undefined;
}

/** One real process of Gatehouse: started, watched through its records, killed and started again. */
export class GatehouseProcess {
  readonly records: RecordReader = new RecordReader();
  readonly #spec: ProcessSpec;
  #child: ChildProcess | undefined;
  /** True once the process is gone and its output has been read to the end. */
  #isOver = true;
  #complaints = "";

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
  }

  get role(): string {
    return this.#spec.role;
  }

  /** Of the process as it runs now. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined || !this.isRunning) throw new Error(`${this.role} is not running`);
    return pid;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Exit status of the last one that ended by itself; null while it runs, and when a signal ended it. */
  get exitCode(): number | null {
    return this.#child?.exitCode ?? null;
  }

  /** Where health and metrics are, of the process as it runs now. */
  get adminUrl(): string {
    const said = this.records.all(SERVING).at(-1)?.text ?? "";
    const url = /, admin on (\S+)/.exec(said)?.[1];
    if (url === undefined) throw new Error(`${this.role} has no admin address`);
    return url;
  }

  /** The last 4 KiB of stderr, where a healthy process writes nothing. */
  get complaints(): string {
    return this.#complaints;
  }

  /** Starts it and waits until it says that it serves. `env` adds to its environment from now on. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<PrintedRecord> {
    if (this.isRunning) throw new Error(`${this.role} is running already`);
    this.#spec.env = { ...this.#spec.env, ...env };
    const since = this.records.count;
    this.#complaints = "";
    const [command, ...args] = [
      ...(this.#spec.enter ?? []),
      process.execPath,
      ...NODE_FLAGS[this.#spec.tier],
      builtMain(this.#spec.tier),
    ];
    const child = startGuarded(command ?? "", args, {
      env: { PATH: process.env["PATH"], ...this.#spec.env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    this.#isOver = false;
    const markOver = (): void => {
      // A process started since then is another matter.
      if (this.#child === child) this.#isOver = true;
    };
    child.once("close", markOver).once("error", markOver);
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#spec.onOutput?.(text);
      this.records.push(text);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#spec.onOutput?.(text);
      this.#complaints = (this.#complaints + text).slice(-4096);
    });
    return this.awaitRecord(SERVING, { since, timeoutMs: START_TIMEOUT_MS });
  }

  /**
   * Returns the first record that matches, waiting for it when it is not there yet. `since` is a `records.count` taken before
   * the deed whose record it is; without it every record of the process counts, those of earlier starts too.
   */
  async awaitRecord(
    matches: RegExp,
    { since = 0, timeoutMs = RECORD_TIMEOUT_MS }: { since?: number; timeoutMs?: number } = {},
  ): Promise<PrintedRecord> {
    const { promise, resolve, reject } = Promise.withResolvers<PrintedRecord>();
    const child = this.#child;
    const fail = (what: string): void => {
      const last = this.records.all(/^/, since).slice(-20);
      const context = `${last.map(({ text }) => text).join("\n")}\n${this.#complaints}`;
      reject(new Error(`${this.role}: no record ${String(matches)}: ${what}\n${context}`));
    };
    const look = (): void => {
      const [found] = this.records.all(matches, since);
      if (found) resolve(found);
    };
    const ended = (): void => {
      look();
      fail("the process ended");
    };
    const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
    const stopWatching = this.records.watch(look);
    child?.once("close", ended).once("error", ended);
    if (this.#isOver) ended();
    else look();
    return promise.finally(() => {
      clearTimeout(timer);
      stopWatching();
      child?.off("close", ended).off("error", ended);
    });
  }

  /** Sends a signal and doesn't wait. */
  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Ends it at once, as a crash would; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#child) await endProcess(this.#child, "SIGKILL", STOP_GRACE_MS);
  }

  /** Sends SIGTERM and waits for the drain; resolves with the exit status, null when it had to be killed after `graceMs`. */
  async stop(graceMs: number = STOP_GRACE_MS): Promise<number | null> {
    if (!this.#child) return null;
    if (this.isRunning) this.#child.kill("SIGCONT"); // a stopped process would not see SIGTERM
    await endProcess(this.#child, "SIGTERM", graceMs);
    return this.#child.exitCode;
  }

  /** Stops it when it runs, and starts it again in the same place. */
  async restart(env: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.stop();
    await this.start(env);
  }
}

function builtMain(tier: Tier): string {
  const path = join(import.meta.dirname, `../../../packages/${tier}/dist/main.js`);
  if (!existsSync(path)) throw new Error(`${path} is missing: build first (npm run build)`);
  return path;
}
