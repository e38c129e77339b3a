import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { DebianPackages } from "@gatehouse/testbed/debian-packages";

const CACHE = join(import.meta.dirname, "../../.cache/faketime");
/** For programs with threads. */
const LIBRARY = "libfaketimeMT.so.1";

/** Returns libfaketime: the system's, or Debian's package unpacked into the repository's cache. @throws when there is neither */
export async function findFaketime(): Promise<string> {
  const found = (await libraryBelow("/")) ?? (await libraryBelow(CACHE)) ?? (await fetchLibrary());
  if (found === undefined) throw new Error(`Debian's libfaketime has no ${LIBRARY}`);
  return found;
}

async function libraryBelow(root: string): Promise<string | undefined> {
  const libraries = join(root, "usr/lib");
  if (!existsSync(libraries)) return undefined;
  const places = (await readdir(libraries)).map((entry) => join(libraries, entry, "faketime", LIBRARY));
  return places.find((place) => existsSync(place));
}

async function fetchLibrary(): Promise<string | undefined> {
  await mkdir(CACHE, { recursive: true });
  const work = await mkdtemp(join(CACHE, "fetch-"));
  try {
    const root = join(work, "root");
    await (await DebianPackages.open(work)).unpack("libfaketime", root);
    await rename(join(root, "usr"), join(CACHE, "usr"));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return await libraryBelow(CACHE);
}
