import { createReadStream } from "node:fs";
import { createInterface } from "node:readline";

/** Says what the file is; another shape gets another number. */
const FORMAT = "gatehouse-backup/1";

/** A value in the backup: everything that Redis holds of a key. */
export type BackupEntry = {
  readonly key: string;
  /** Unix milliseconds; undefined for what never ends. */
  readonly expires_at_ms?: number;
} & (
  | { readonly type: "string"; readonly value: string }
  | { readonly type: "hash"; readonly value: Readonly<Record<string, string>> }
  /** Members by score, as Redis writes scores. */
  | { readonly type: "zset"; readonly value: Readonly<Record<string, string>> }
);

/** Yields the lines of a backup: what it is, an entry each, and how many that were, so that half a file is known for one. */
export async function* backupLines(entries: AsyncIterable<BackupEntry>, now: Date): AsyncGenerator<string> {
  yield line({ format: FORMAT, created_at: now.toISOString() });
  let keys = 0;
  for await (const entry of entries) {
    keys += 1;
    yield line(entry);
  }
  yield line({ keys });
}

/**
 * Yields the entries of a backup, a line at a time: it may be larger than what one text can hold.
 * @throws {Error} at the first line that is none, and at the end when lines are missing
 */
export async function* readBackup(path: string): AsyncGenerator<BackupEntry> {
  let number = 0;
  let keys = 0;
  let isComplete = false;
  for await (const text of createInterface({ input: createReadStream(path, "utf8"), crlfDelay: Infinity })) {
    number += 1;
    const value = parsedLine(text);
    if (number === 1) {
      if (value?.["format"] !== FORMAT)
        throw new Error(`${path} is no backup: its first line must say ${FORMAT}`);
    } else if (!isComplete && isEntry(value)) {
      keys += 1;
      yield value;
    } else if (!isComplete && value?.["keys"] === keys) isComplete = true;
    else throw new Error(`${path}: line ${number} is not what a backup holds`);
  }
  if (!isComplete) throw new Error(`${path} is cut off: it ends after ${keys} keys, without its last line`);
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function parsedLine(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isEntry(value: Record<string, unknown> | undefined): value is BackupEntry {
  if (typeof value?.["key"] !== "string") return false;
  const { type, value: content, expires_at_ms: end } = value;
  if (end !== undefined && !Number.isSafeInteger(end)) return false;
  if (type === "string") return typeof content === "string";
  if (type !== "hash" && type !== "zset") return false;
  return isRecord(content) && Object.values(content).every((part) => typeof part === "string");
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
