import { randomBytes } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** A state file larger than this is not one of ours; reading it whole could take the process down. */
const MAX_STATE_FILE_BYTES = 64 * 1024 * 1024;

/**
 * Replaces the file in one step: whoever reads it, also after a power cut, finds the old content or the new, whole. Mode 0600;
 * a missing directory is made with mode 0700. Writes to one path must not overlap: the order of two would be open.
 * @throws the error of the file system; the old file is then untouched.
 */
export async function writeStateFile(path: string, content: string | AsyncIterable<string>): Promise<void> {
  const directory = dirname(path);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // Two processes may share the directory, hence a name of one's own, created exclusively.
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString("hex")}.tmp`);
  try {
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(directory);
}

/**
 * Returns the content of a state file, undefined when there is none.
 * @throws the error of the file system; {@link RangeError} when the file is longer than `maxBytes` (default 64 MiB).
 */
export async function readStateFile(
  path: string,
  maxBytes = MAX_STATE_FILE_BYTES,
): Promise<string | undefined> {
  let file;
  try {
    file = await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw new RangeError(`${path} has ${size} bytes, at most ${maxBytes} are read`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/** Without this the new name may be lost in a power cut, though the content is safe. */
async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
