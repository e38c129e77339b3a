import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { arch } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { DebianPackages, libraryDirectories } from "./debian-packages.ts";
import { findOnPath } from "./program-search.ts";

const run = promisify(execFile);

/** CLIENT TRACKING with prefixes and ACL selectors, which the system under test relies on. */
const OLDEST_MAJOR = 7;

/** A Redis (or Valkey) server and its command line client, ready to start. */
export interface RedisProgram {
  readonly server: string;
  /** Absent when only a server was found on PATH. */
  readonly cli: string | undefined;
  /** To be added to the environment of both: where their libraries are, when they are not the system's. */
  readonly environment: Readonly<Record<string, string>>;
}

/** Where the unpacked packages are kept: `<repository>/.cache/redis/<architecture>`. */
const CACHE = resolve(import.meta.dirname, "../../.cache/redis");

let found: Promise<RedisProgram> | undefined;

/**
 * Finds a Redis of version 7 or newer: `redis-server` or `valkey-server` on PATH, else the distribution's packages
 * unpacked into the repository's cache (Debian-like systems, no root needed), progress on stderr.
 * @throws an Error whose message holds the one line that installs it on this system
 */
export function findRedis(): Promise<RedisProgram> {
  found ??= search();
  return found;
}

async function search(): Promise<RedisProgram> {
  for (const flavour of ["redis", "valkey"]) {
    const server = findOnPath(`${flavour}-server`);
    if (server !== undefined && (await isRecentEnough(server, {})))
      return { server, cli: findOnPath(`${flavour}-cli`), environment: {} };
  }
  const cached = join(CACHE, arch());
  const program = (await inUnpackedPackages(cached)) ?? (await fetchPackages(cached));
  if (program !== undefined) return program;
  throw new Error(
    `no redis-server or valkey-server ${OLDEST_MAJOR}.0 or newer; install one: ${installLine()}`,
  );
}

async function isRecentEnough(
  server: string,
  environment: Readonly<Record<string, string>>,
): Promise<boolean> {
  try {
    const { stdout } = await run(server, ["--version"], { env: { ...process.env, ...environment } });
    return Number(/v=(\d+)\./.exec(stdout)?.[1]) >= OLDEST_MAJOR;
  } catch {
    return false; // cannot be started here: as good as absent
  }
}

async function inUnpackedPackages(root: string): Promise<RedisProgram | undefined> {
  for (const flavour of ["redis", "valkey"]) {
    const server = join(root, `usr/bin/${flavour}-server`);
    if (!existsSync(server)) continue;
    const environment = { LD_LIBRARY_PATH: (await libraryDirectories(root)).join(":") };
    if (await isRecentEnough(server, environment))
      return { server, cli: join(root, `usr/bin/${flavour}-cli`), environment };
  }
  return undefined;
}

async function fetchPackages(cached: string): Promise<RedisProgram | undefined> {
  if (["apt-get", "dpkg-deb", "ldd"].some((tool) => findOnPath(tool) === undefined)) return undefined;
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, "fetch-"));
  try {
    progress("no redis-server here: fetching the distribution's package lists (once, without root)");
    const packages = await DebianPackages.open(work);
    for (const flavour of ["redis", "valkey"]) {
      const root = join(work, flavour);
      try {
        progress(`unpacking ${flavour}-server and ${flavour}-tools`);
        const needs = await packages.unpack(`${flavour}-server`, root);
        needs.push(...(await packages.unpack(`${flavour}-tools`, root)));
        await packages.completeLibraries(join(root, `usr/bin/${flavour}-server`), root, needs);
      } catch (error) {
        progress(`${flavour}: ${firstLine(error)}`);
        continue;
      }
      if ((await inUnpackedPackages(root)) === undefined) continue;
      await install(root, cached);
      progress(`kept in ${cached}`);
      return await inUnpackedPackages(cached);
    }
    return undefined;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Several processes may fetch at once: the first rename wins, and the others use what it brought. */
async function install(root: string, cached: string): Promise<void> {
  try {
    await rename(root, cached);
  } catch {
    if ((await inUnpackedPackages(cached)) !== undefined) return;
    await rm(cached, { recursive: true, force: true }); // left over from another system or release
    await rename(root, cached);
  }
}

function installLine(): string {
  const lines: readonly (readonly [string, string])[] = [
    ["apt-get", "sudo apt-get update && sudo apt-get install -y redis-server"],
    ["dnf", "sudo dnf install -y valkey"],
    ["zypper", "sudo zypper install -y valkey"],
    ["apk", "sudo apk add redis"],
    ["pacman", "sudo pacman -S --noconfirm valkey"],
    ["brew", "brew install redis"],
  ];
  const line = lines.find(([tool]) => findOnPath(tool) !== undefined);
  return line?.[1] ?? "your system's package is called redis or valkey";
}

function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split("\n").find((line) => line.startsWith("E:")) ?? text.split("\n")[0] ?? text;
}

function progress(text: string): void {
  process.stderr.write(`redis: ${text}\n`);
}
