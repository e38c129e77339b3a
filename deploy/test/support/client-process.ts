import type { ChildProcess } from "node:child_process";
import { join } from "node:path";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";

const STOP_GRACE_MS = 2000;

/** A client that is a program of its own, run by the Node that runs the tests. */
export class ClientProcess {
  readonly #child: ChildProcess;
  readonly #gone: Promise<number | null>;
  #output = "";

  /** @param caPath certificates it trusts beside the usual ones */
  constructor(args: readonly string[], { caPath, env = {} }: { caPath: string; env?: NodeJS.ProcessEnv }) {
    this.#child = startGuarded(process.execPath, [...args], {
      env: {
        PATH: process.env["PATH"],
        NODE_EXTRA_CA_CERTS: caPath,
        NODE_OPTIONS: `--import=${join(import.meta.dirname, "localhost-names.mjs")}`,
        ...env,
      },
      // Some take the end of their standard input for the end of their work.
      stdio: ["pipe", "pipe", "pipe"],
    });
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.setEncoding("utf8").on("data", (text: string) => (this.#output += text));
    this.#gone = new Promise((resolve, reject) => {
      this.#child.once("close", resolve).once("error", reject);
    });
  }

  /** Everything it has printed so far. */
  get output(): string {
    return this.#output;
  }

  /** Resolves with the exit status once it has ended by itself, null when a signal ended it. */
  async ended(): Promise<number | null> {
    return await this.#gone;
  }

  async stop(): Promise<void> {
    await endProcess(this.#child, "SIGTERM", STOP_GRACE_MS);
  }
}
