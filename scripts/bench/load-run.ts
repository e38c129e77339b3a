import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import { nativePath, type NativeProgram } from "./native-programs.ts";
import { putFirst } from "./process-cpu.ts";

/** What a load generator says of its work. Latencies in microseconds. */
export interface LoadResult {
  readonly units: number;
  readonly failed: number;
  readonly octets: number;
  readonly seconds: number;
  /** Its own seconds of CPU. */
  readonly cpu: number;
  readonly p50: number;
  readonly p99: number;
  readonly resumed?: number;
  readonly next_token?: number;
  /** Nanoseconds of CLOCK_MONOTONIC at the first answer. */
  readonly at?: number;
}

export type LoadWords = Readonly<Record<string, string | number>>;

/** How long connections may take to be set up; thousands of handshakes on one core take tens of seconds. */
const READY_TIMEOUT_MS = 60_000;

/** One run of a load generator, in its steps, so that counters can be read exactly around its work. */
export class LoadRun {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  #complaints = "";

  private constructor(child: ChildProcess, reader: Interface) {
    this.#child = child;
    this.#reader = reader;
    this.#lines = reader[Symbol.asyncIterator]();
    child.stderr?.on("data", (chunk: Buffer) => (this.#complaints += chunk.toString()));
  }

  /** Starts it on a core (undefined: on any) and waits until its connections stand. */
  static async start(program: NativeProgram, words: LoadWords, core: number | undefined): Promise<LoadRun> {
    const args = Object.entries(words).map(([name, value]) => `${name}=${value}`);
    const command = [...pinned(core), nativePath(program), ...args];
    const child = startGuarded(command[0] ?? "", command.slice(1), { stdio: ["pipe", "pipe", "pipe"] });
    if (child.pid !== undefined) putFirst(child.pid);
    if (child.stdout === null) throw new Error(`${program} could not be started`);
    child.stdin?.on("error", () => undefined); // it has ended; said by its last line
    const run = new LoadRun(child, createInterface({ input: child.stdout }));
    const timer = setTimeout(() => child.kill("SIGKILL"), READY_TIMEOUT_MS);
    const line = await run.#next(`${program} ${args.join(" ")}`);
    clearTimeout(timer);
    if (line !== "ready") throw new Error(`${program}: ${line}`);
    return run;
  }

  /** Lets it do its work. */
  async work(): Promise<LoadResult> {
    this.#child.stdin?.write("\n");
    return JSON.parse(await this.#next("the load generator")) as LoadResult;
  }

  /** Closes its connections. */
  async end(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const exited = once(this.#child, "exit");
      this.#child.stdin?.end();
      await exited;
    }
    this.#reader.close();
  }

  async abort(): Promise<void> {
    await endProcess(this.#child, "SIGKILL", 1000);
    this.#reader.close();
  }

  async #next(what: string): Promise<string> {
    const line = await this.#lines.next();
    if (line.done === true) throw new Error(`${what} ended: ${this.#complaints.trim()}`);
    return line.value;
  }
}

export function pinned(core: number | undefined): readonly string[] {
  return core === undefined ? [] : ["taskset", "-c", String(core)];
}
