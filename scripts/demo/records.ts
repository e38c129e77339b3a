import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";

/** Records are written off the request path; this is how long they are waited for. */
const RECORDS_TIMEOUT_MS = 3_000;

/** The printed records about `address` in these log files, oldest first. */
export async function recordsAbout(address: string, logFiles: readonly string[]): Promise<string[]> {
  const texts = await Promise.all(logFiles.map((file) => readFile(file, "utf8")));
  const records = texts.flatMap((text) => text.split(/^(?=\[\d{4}-\d\d-\d\d )/m));
  return records
    .filter((record) => record.split("\n")[1]?.trim().split(" ")[1] === address)
    .map((record) => record.trimEnd())
    .toSorted(); // each begins with its time
}

/** As {@link recordsAbout}, once the dispatcher has written about a connection of that address that ended. */
export async function settledRecordsAbout(address: string, logFiles: readonly string[]): Promise<string[]> {
  const deadline = performance.now() + RECORDS_TIMEOUT_MS;
  for (;;) {
    const records = await recordsAbout(address, logFiles);
    if (records.some((record) => record.includes("connection ended")) || performance.now() > deadline)
      return records;
    await delay(50);
  }
}
