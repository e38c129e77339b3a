import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** `demo.json`: where everything is, for scripts and tests. Its shape is part of the public contract. */
export interface DemoFile {
  readonly dispatcher: { readonly host: string; readonly port: number };
  readonly redis_url: string;
  readonly ca_file: string;
  readonly hosts: Readonly<
    Record<string, { readonly auth: boolean; readonly origin: string; readonly port: number }>
  >;
  /** Where people sign in. `sign_in` and a user name is the address that signs a browser in; only the stand-in has that, and users. */
  readonly github: { readonly url: string; readonly users: readonly string[]; readonly sign_in?: string };
  readonly upstreams: { readonly simple: string; readonly fast_echo: string };
  /** Pages for Prometheus, by role as `pids`. */
  readonly metrics: Readonly<Record<string, string>> & { readonly dispatcher: string };
  /** By role: `dispatcher`, and each hostname for its instance. */
  readonly pids: Readonly<Record<string, number>>;
}

/** Writes it in one step: a reader sees the whole file or none. */
export async function writeDemoFile(stateDir: string, content: DemoFile): Promise<void> {
  const path = join(stateDir, "demo.json");
  await writeFile(`${path}.new`, `${JSON.stringify(content, null, 2)}\n`);
  await rename(`${path}.new`, path);
}

/** The file as some demo has written it, running or not; undefined when there is none. */
export async function readDemoFile(stateDir: string): Promise<DemoFile | undefined> {
  try {
    return JSON.parse(await readFile(join(stateDir, "demo.json"), "utf8")) as DemoFile;
  } catch {
    return undefined;
  }
}

export async function removeDemoFile(stateDir: string): Promise<void> {
  await rm(join(stateDir, "demo.json"), { force: true });
}
