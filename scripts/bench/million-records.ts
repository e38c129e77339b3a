// `pnpm bench:million`: a million records in a private Redis. What they take there, and what a page of each question costs as a whole
// process, from the shell to its last line. Fails when the memory is over what docs/storage.md states, or a page over its bound.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { closeRedis, openRedis, type RedisClient } from "@gatehouse/shared/redis-connection";
import { RecordStore } from "@gatehouse/shared/record-store";
import { StoredBatch } from "@gatehouse/shared/stored-batch";
import { startPrivateRedis } from "@gatehouse/testbed/private-redis";
import { REPOSITORY } from "../demo/options.ts";
import { median } from "./median.ts";
import { ANCIENT_CONNECTION, recordMix } from "./record-mix.ts";

const RECORDS = 1_000_000;
const BATCH = 256;
const RUNS = 7;
/** Milliseconds for a page of 100, the process and its start included. */
const PAGE_BOUND_MS = 300;
const MIB = 1024 * 1024;

/** What is asked; each is a page of 100 unless it says otherwise. */
const QUESTIONS: readonly (readonly string[])[] = [
  ["ip", "192.0.2.1"],
  ["ip", "198.51.42.77"],
  ["ip", "203.0.113.250"],
  ["ip", "198.51.0.0/16"],
  ["ip", "2001:db8::/32"],
  ["hostname", "host-7.example.com"],
  ["hostname", "nobody.example.com"],
  ["user", "user-3"],
  ["client", "client_0000000000000000000042"],
  ["connection", ANCIENT_CONNECTION],
  ["request", "req-01JD000000000000000000NONE"],
  ["status", "5xx"],
  ["errors"],
  ["slow", "9000"],
  ["ip", "192.0.2.1", "--since", "2025-08-01", "--until", "2025-08-02"],
  ["hostname", "host-7.example.com", "--status", "4xx", "--level", "warn"],
];

interface Run {
  readonly ms: number;
  readonly lines: number;
  /** Octets resident at the most. */
  readonly peak: number;
}

async function fill(redis: RedisClient): Promise<{ bytes: number; seconds: number }> {
  const before = await usedMemory(redis);
  const started = performance.now();
  const store = new RecordStore(redis, { maxRecords: RECORDS * 1.01, maxAgeMs: 30 * 86_400_000 });
  const next = recordMix(RECORDS);
  for (let first = 0, number = 1; first < RECORDS; first += BATCH, number++) {
    const length = Math.min(BATCH, RECORDS - first);
    const batch = new StoredBatch();
    for (let n = 0; n < length; n++) batch.add(next());
    await store.append(number, batch);
  }
  await store.trimmed;
  return { bytes: (await usedMemory(redis)) - before, seconds: (performance.now() - started) / 1000 };
}

async function usedMemory(redis: RedisClient): Promise<number> {
  return Number(/used_memory:(\d+)/.exec(await redis.info("memory"))?.[1]);
}

async function ask(question: readonly string[], url: string): Promise<Run> {
  const started = performance.now();
  const child = spawn(join(REPOSITORY, "scripts/gatehouse"), ["log", ...question, "--json"], {
    env: { PATH: process.env["PATH"], REDIS_URL: url },
    stdio: ["ignore", "pipe", "ignore"],
  });
  let lines = 0;
  let peak = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    peak = Math.max(peak, peakOf(child.pid));
    for (const octet of chunk) if (octet === 0x0a) lines++;
  });
  const watch = setInterval(() => (peak = Math.max(peak, peakOf(child.pid))), 5);
  const [status] = (await once(child, "close")) as [number | null];
  clearInterval(watch);
  if (status !== 0) throw new Error(`gatehouse log ${question.join(" ")} ended with ${status}`);
  return { ms: performance.now() - started, lines, peak };
}

function peakOf(pid: number | undefined): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // it has just ended
  }
}

/** The figure that the documents promise, in MiB. */
function statedMiB(): number {
  const text = readFileSync(join(REPOSITORY, "docs/storage.md"), "utf8");
  const stated = /1,000,000 records take at most (\d+) MiB of Redis memory/.exec(text)?.[1];
  if (stated === undefined) throw new Error("docs/storage.md does not say what 1,000,000 records take");
  return Number(stated);
}

const problems: string[] = [];
const server = await startPrivateRedis();
try {
  const redis = openRedis({ url: server.url, clientName: "bench" });
  await once(redis, "ready");
  const { bytes, seconds } = await fill(redis);
  const stated = statedMiB();
  const each = Math.round(bytes / RECORDS);
  console.log(
    `${RECORDS} records stored in ${seconds.toFixed(1)} s: ${Math.round(bytes / MIB)} MiB (${each} octets each); stated: ${stated} MiB`,
  );
  if (bytes > stated * MIB) problems.push(`memory: over the ${stated} MiB that docs/storage.md states`);
  console.log("| question | records | ms, median (min-max) | MiB resident |\n|---|---|---|---|");
  for (const question of QUESTIONS) {
    const runs: Run[] = [];
    for (let run = 0; run < RUNS; run++) runs.push(await ask(question, server.url));
    const times = runs.map(({ ms }) => ms);
    const middle = median(times);
    const peak = Math.max(...runs.map((run) => run.peak));
    const spread = `${Math.round(Math.min(...times))}-${Math.round(Math.max(...times))}`;
    console.log(
      `| log ${question.join(" ")} | ${runs[0]?.lines} | ${Math.round(middle)} (${spread}) | ${Math.round(peak / MIB)} |`,
    );
    if (middle > PAGE_BOUND_MS)
      problems.push(`log ${question.join(" ")}: ${Math.round(middle)} ms, over ${PAGE_BOUND_MS}`);
  }
  await closeRedis(redis);
} finally {
  await server.stop();
}
for (const problem of problems) console.error(`FAILED ${problem}`);
process.exitCode = problems.length > 0 ? 1 : 0;
