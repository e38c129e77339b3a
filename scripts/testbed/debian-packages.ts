import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** apt reports everything it does; a mirror's whole package list takes some seconds on a slow line. */
const APT_TIMEOUT_MS = 300_000;

/** Rounds of "what does ldd still miss": each one goes a level deeper into the dependencies. */
const MAX_LIBRARY_ROUNDS = 6;

/** Directories below `root` where a Debian package may have put shared libraries. */
export async function libraryDirectories(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const base of ["usr/lib", "lib"]) {
    const directory = join(root, base);
    if (!existsSync(directory)) continue;
    found.push(directory);
    for (const entry of await readdir(directory, { withFileTypes: true }))
      if (entry.isDirectory() && entry.name.includes("-linux-")) found.push(join(directory, entry.name));
  }
  return found;
}

/** The names in a `Depends:` field, first alternative of each: `libc6 (>= 2.34), a | b` gives `libc6` and `a`. */
export function dependencyNames(field: string): string[] {
  return field
    .split(",")
    .map((clause) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(clause)?.[1])
    .filter((name) => name !== undefined);
}

/**
 * Packages of this machine's own distribution, fetched and unpacked without root and without touching the system:
 * lists, cache and packages live in `work`, sources and trusted keys are the system's. The system's own lists are not
 * used because they are empty on most fresh machines and images, and stale on the others.
 */
export class DebianPackages {
  readonly #work: string;
  readonly #options: string[];

  private constructor(work: string) {
    this.#work = work;
    this.#options = Object.entries({
      "Dir::State::lists": join(work, "lists"),
      "Dir::Cache": join(work, "cache"),
      "Dir::Cache::pkgcache": "",
      "Dir::Cache::srcpkgcache": "",
      "Dir::Log": work,
      "Acquire::Languages": "none",
      "Acquire::Retries": "2",
      // As root apt would fetch as `_apt`, which may not enter a private directory; every package is verified either way.
      "APT::Sandbox::User": "root",
      "Debug::NoLocking": "1",
    }).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  }

  /** Fetches the package lists into `work`, which must exist and be empty. */
  static async open(work: string): Promise<DebianPackages> {
    for (const directory of ["lists/partial", "cache/archives/partial", "packages"])
      await mkdir(join(work, directory), { recursive: true });
    const packages = new DebianPackages(work);
    // One unreachable third-party source makes this fail, although the distribution's own lists have arrived:
    // whether it was enough is decided by the download.
    await packages.#apt(["update"]).catch(() => undefined);
    return packages;
  }

  async #apt(args: string[]): Promise<void> {
    await run("apt-get", ["-q", ...this.#options, ...args], {
      cwd: join(this.#work, "packages"),
      timeout: APT_TIMEOUT_MS,
      maxBuffer: 16 * 1024 * 1024,
    });
  }

  /** Downloads one package and unpacks it into `root`; returns what it depends on. @throws when apt knows no such package */
  async unpack(name: string, root: string): Promise<string[]> {
    const directory = join(this.#work, "packages");
    await this.#apt(["download", name]);
    const file = (await readdir(directory)).find((entry) => entry.startsWith(`${name}_`));
    if (file === undefined) throw new Error(`apt-get downloaded no file for ${name}`);
    await run("dpkg-deb", ["-x", join(directory, file), root]);
    const { stdout } = await run("dpkg-deb", ["-f", join(directory, file), "Depends"]);
    await rm(join(directory, file));
    return dependencyNames(stdout);
  }

  /** Unpacks into `root` the library packages among `candidates`, and theirs, until `program` finds every library. */
  async completeLibraries(program: string, root: string, candidates: readonly string[]): Promise<void> {
    let wanted = candidates.filter((name) => name.startsWith("lib"));
    const tried = new Set<string>(["libc6"]); // the loader and its library must be the system's
    for (let round = 0; round < MAX_LIBRARY_ROUNDS && (await this.#misses(program, root)); round++) {
      const next: string[] = [];
      for (const name of wanted.filter((candidate) => !tried.has(candidate))) {
        tried.add(name);
        // A virtual package has no file; what provides it is either installed or reported by the caller's own check.
        next.push(...(await this.unpack(name, root).catch(() => [])));
      }
      wanted = next.filter((name) => name.startsWith("lib"));
    }
  }

  async #misses(program: string, root: string): Promise<boolean> {
    const LD_LIBRARY_PATH = (await libraryDirectories(root)).join(":");
    try {
      const { stdout } = await run("ldd", [program], { env: { ...process.env, LD_LIBRARY_PATH } });
      return stdout.includes("not found");
    } catch {
      return true; // a library that is there but cannot be read
    }
  }
}
