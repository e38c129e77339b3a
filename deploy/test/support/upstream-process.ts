import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** An upstream in a process of its own: see `upstream-main.ts` for its paths. */
export class UpstreamProcess {
  readonly #child: ChildProcess;
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  static async start(): Promise<UpstreamProcess> {
    const child = spawn(process.execPath, [join(import.meta.dirname, "upstream-main.ts")], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [port] = (await once(child.stdout, "data")) as [Buffer];
    return new UpstreamProcess(child, `http://127.0.0.1:${port.toString().trim()}`);
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Asked directly, not through Gatehouse. */
  async openStreams(name: string): Promise<number> {
    return Number(await (await fetch(`${this.url}/open-streams?name=${name}`)).text());
  }

  async lastDownload(): Promise<string> {
    return (await fetch(`${this.url}/last-download`)).text();
  }

  /** Ends it as a crash would; resolves when it is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
