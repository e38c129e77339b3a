import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import { LOAD_CORE } from "./cores.ts";
import { pinned } from "./load-run.ts";
import { nativePath } from "./native-programs.ts";
import { putFirst } from "./process-cpu.ts";

/** A server behind the proxies, on a port of loopback and on a unix socket. */
export class NativeServer {
  readonly port: number;
  readonly path: string;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, place: { port: number; path: string }) {
    this.#child = child;
    this.port = place.port;
    this.path = place.path;
  }

  static async start(
    program: "sink" | "origin",
    { port, path }: { readonly port: number; readonly path: string },
  ): Promise<NativeServer> {
    const [command = "", ...args]: readonly string[] = [
      ...pinned(LOAD_CORE),
      nativePath(program),
      String(port),
      `unix:${path}`,
    ];
    const child = startGuarded(command, args, { stdio: ["ignore", "pipe", "inherit"] });
    if (child.pid !== undefined) putFirst(child.pid);
    if (child.stdout === null) throw new Error(`${program} could not be started`);
    await Promise.race([
      once(child.stdout, "data"),
      once(child, "exit").then(() => Promise.reject(new Error(`${program} did not start`))),
    ]);
    return new NativeServer(child, { port, path });
  }

  async stop(): Promise<void> {
    await endProcess(this.#child, "SIGTERM", 2000);
  }
}
