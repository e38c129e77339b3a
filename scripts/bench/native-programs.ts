import { execFile } from "node:child_process";
import { mkdir, readdir, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { REPOSITORY } from "../demo/options.ts";

const run = promisify(execFile);
const SOURCES = join(import.meta.dirname, "native");
const BINARIES = join(REPOSITORY, ".cache/bench/bin");

/** Load generators and the servers behind the proxies: in C, because Node would be what is measured. */
export type NativeProgram = "load-raw" | "load-tls" | "sink" | "origin";
const PROGRAMS: readonly NativeProgram[] = ["load-raw", "load-tls", "sink", "origin"];

export function nativePath(program: NativeProgram): string {
  return join(BINARIES, program);
}

/** Compiles what is older than its sources. @throws with the compiler's words */
export async function buildNativePrograms(): Promise<void> {
  await mkdir(BINARIES, { recursive: true });
  const files = await readdir(SOURCES);
  const times = await Promise.all(files.map(async (file) => (await stat(join(SOURCES, file))).mtimeMs));
  const newest = Math.max(...times);
  await Promise.all(
    PROGRAMS.map(async (program) => {
      const target = nativePath(program);
      const built = await stat(target).catch(() => undefined);
      if (built !== undefined && built.mtimeMs > newest) return;
      const source = join(SOURCES, `${program}.c`);
      await run("gcc", ["-O2", "-Wall", "-o", `${target}.new`, source, "-lssl", "-lcrypto"]);
      await rename(`${target}.new`, target);
    }),
  );
}
