import { execFile } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { REPOSITORY } from "./options.ts";

const run = promisify(execFile);

/** Records are stored off the request path; this is how long they are waited for. */
const RECORDS_TIMEOUT_MS = 3_000;

/** Returns what `scripts/log-by-ip ADDRESS` prints of the newest records, once it tells of a connection that ended. */
export async function logByIp(address: string, redisUrl: string, limit: number): Promise<string> {
  const deadline = performance.now() + RECORDS_TIMEOUT_MS;
  for (;;) {
    const { stdout } = await run(join(REPOSITORY, "scripts/log-by-ip"), [address, "--limit", String(limit)], {
      env: { ...process.env, LOG_REDIS_URL: redisUrl },
    });
    if (stdout.includes("connection ended") || performance.now() > deadline) return stdout.trimEnd();
    await delay(100);
  }
}
