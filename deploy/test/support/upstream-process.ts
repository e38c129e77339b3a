import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

/** An upstream in a process of its own: see `upstream-main.ts` for its paths. */
export class UpstreamProcess {
  readonly role = "upstream";
  #child: ChildProcess | undefined;
  #port = 0;

  private constructor() {}

  static async start(): Promise<UpstreamProcess> {
    const upstream = new UpstreamProcess();
    await upstream.start();
    return upstream;
  }

  /** Starts it again where it was. */
  async start(): Promise<void> {
    const main = join(import.meta.dirname, "upstream-main.ts");
    const child = spawn(process.execPath, [main, String(this.#port)], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    this.#child = child;
    const [port] = (await once(child.stdout, "data")) as [Buffer];
    this.#port = Number(port.toString());
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
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
    if (!this.isRunning || this.#child === undefined) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }
}
