import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { arch } from "node:os";
import { join, resolve } from "node:path";
import { DebianPackages } from "./debian-packages.ts";
import { findOnPath } from "./program-search.ts";

/** Pebble, a certificate authority made for tests, and its DNS server. */
export interface PebblePrograms {
  readonly pebble: string;
  readonly challtestsrv: string;
}

/** Where they are, or why a test has to do without. */
export type FoundPebble = PebblePrograms | { readonly missing: string };

/** Where the unpacked package is kept: `<repository>/.cache/pebble/<architecture>`. */
const CACHE = resolve(import.meta.dirname, "../../.cache/pebble");

/**
 * Finds pebble: on PATH, else the distribution's package unpacked into the repository's cache (Debian-like systems, no root needed).
 * `GATEHOUSE_TEST_PEBBLE=skip` does without.
 */
export async function findPebble(): Promise<FoundPebble> {
  if (process.env["GATEHOUSE_TEST_PEBBLE"] === "skip") return { missing: "GATEHOUSE_TEST_PEBBLE is skip" };
  const [pebble, challtestsrv] = [findOnPath("pebble"), findOnPath("pebble-challtestsrv")];
  if (pebble !== undefined && challtestsrv !== undefined) return { pebble, challtestsrv };
  const cached = join(CACHE, arch());
  const known = unpackedIn(cached);
  if (known !== undefined) return known;
  if (["apt-get", "dpkg-deb"].some((tool) => findOnPath(tool) === undefined))
    return { missing: "pebble is not installed, and this is no Debian-like system" };
  try {
    await fetchPackage(cached);
  } catch (error) {
    return { missing: `pebble can't be fetched: ${String(error).split("\n", 1)[0]}` };
  }
  return unpackedIn(cached) ?? { missing: "the distribution's package holds no pebble" };
}

function unpackedIn(root: string): PebblePrograms | undefined {
  const [pebble, challtestsrv] = [join(root, "usr/bin/pebble"), join(root, "usr/bin/pebble-challtestsrv")];
  return existsSync(pebble) && existsSync(challtestsrv) ? { pebble, challtestsrv } : undefined;
}

async function fetchPackage(cached: string): Promise<void> {
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, "fetch-"));
  try {
    const packages = await DebianPackages.open(work);
    await packages.unpack("pebble", join(work, "pebble"));
    // Several processes may fetch at once: the first rename wins, and the others use what it brought.
    await rename(join(work, "pebble"), cached).catch(() => undefined);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
