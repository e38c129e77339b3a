import { once } from "node:events";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "@jest/globals";
import { openSync } from "node:fs";
import { ConsoleSink } from "../src/console-sink.ts";
import type { LogRecord } from "../src/log-record.ts";
import { RecordWriter, type RecordSink } from "../src/record-log.ts";
import { RecordQueue } from "../src/record-queue.ts";
import { ListBatch } from "./support/records.ts";
import { isConnectionId, newConnectionId, newRequestId } from "../src/record-id.ts";

function record(message: string, level: LogRecord["level"] = "info"): LogRecord {
  return { time: Date.now(), level, component: "dispatcher", event: "connection_ended", message };
}

class HeldSink implements RecordSink<ListBatch> {
  readonly name = "held";
  readonly written: LogRecord[] = [];
  readonly #gate = Promise.withResolvers<void>();
  #fail = false;

  open(): ListBatch {
    return new ListBatch();
  }

  async write(batch: ListBatch): Promise<void> {
    await this.#gate.promise;
    if (this.#fail) throw new Error("sink is broken");
    this.written.push(...batch.records);
  }

  release(): void {
    this.#gate.resolve();
  }

  set failing(fail: boolean) {
    this.#fail = fail;
  }
}

describe("the record writer", () => {
  test("keeps order and writes everything by the flush", async () => {
    const sink = new HeldSink();
    const log = new RecordWriter({ level: "info", component: "dispatcher", sinks: [sink] });
    for (let i = 0; i < 2000; i++) log.write(record(String(i)));
    sink.release();
    await log.flush(5000);
    expect(sink.written.map((entry) => entry.message)).toEqual(
      Array.from({ length: 2000 }, (_, i) => String(i)),
    );
    expect(log.lost).toBe(0);
  });

  test("leaves out levels that are off", async () => {
    const sink = new HeldSink();
    sink.release();
    const log = new RecordWriter({ level: "warn", component: "dispatcher", sinks: [sink] });
    for (const level of ["debug", "info", "warn", "error"] as const) log.write(record(level, level));
    await log.flush(5000);
    expect(sink.written.map((entry) => entry.level)).toEqual(["warn", "error"]);
    expect(log.isEnabled("debug")).toBe(false);
  });

  test("a stuck sink costs counted records of its own and none elsewhere", async () => {
    const stuck = new HeldSink();
    const good = new HeldSink();
    good.release();
    const log = new RecordWriter({
      level: "info",
      component: "dispatcher",
      sinks: [stuck, good],
      maxQueuedRecords: 1000,
    });
    for (let i = 0; i < 3000; i++) {
      log.write(record(String(i)));
      if (i % 256 === 255) await new Promise(setImmediate);
    }
    await log.flush(200);
    expect(good.written).toHaveLength(3000);
    expect(log.lost).toBeGreaterThan(1000);
    stuck.release();
    await log.flush(5000);
    const said = stuck.written.filter((entry) => entry.event === "records_lost");
    expect(said).toHaveLength(1);
    expect(said[0]?.message).toBe(`${log.lost} records lost: held did not keep up`);
    expect(stuck.written.length - 1 + log.lost).toBe(3000);
  });

  test("a failing sink never throws into the caller, and says its loss when it works again", async () => {
    const sink = new HeldSink();
    sink.release();
    sink.failing = true;
    const log = new RecordWriter({ level: "info", component: "dispatcher", sinks: [sink] });
    log.write(record("lost"));
    await log.flush(5000);
    expect(log.lost).toBe(1);
    sink.failing = false;
    log.write(record("kept"));
    await log.flush(5000);
    expect(sink.written.map((entry) => entry.message)).toEqual([
      "1 records lost: held did not keep up",
      "kept",
    ]);
  });
});

test("a queue holds no more than its bound, records that are not in their form yet among them", () => {
  const bounds = { batchRecords: 10, formedRecords: 10, maxRecords: 100, maxBytes: 1024 ** 2 };
  const queue = new RecordQueue(bounds, () => new ListBatch());
  let gone = 0;
  const lengths = Array.from({ length: 1000 }, (_, i) => {
    gone += queue.push(record(String(i)));
    return queue.length;
  });
  expect(Math.max(...lengths)).toBe(100);
  expect(gone + queue.length).toBe(1000);
});

test("a record that has no form for a sink is lost and counted, and throws nothing at its writer", async () => {
  const sink = new HeldSink();
  sink.release();
  const console = new ConsoleSink(openSync("/dev/null", "w"));
  const log = new RecordWriter({ level: "info", component: "dispatcher", sinks: [console, sink] });
  log.write({ ...record("timeless"), time: Number.NaN });
  log.write(record("next"));
  expect(log.lanes.map(({ queued }) => queued)).toEqual([2, 2]);
  await log.flush(5000);
  expect(log.lanes.map(({ written, lost }) => [written, lost])).toEqual([
    [2, 1],
    [2, 0],
  ]);
});

describe("the console", () => {
  const script = join(import.meta.dirname, "support", "console-writer.ts");
  const run = (count: number) =>
    spawn(process.execPath, ["--conditions=source", script, String(count)], {
      stdio: ["ignore", "pipe", "inherit"],
    });

  test("gets every record of a process that exits after its flush", async () => {
    const child = run(5000);
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => (output += chunk));
    await once(child, "close");
    expect(output.match(/\[dispatcher\] ● \[INFO\] record \d+$/gm)).toHaveLength(5000);
  });

  test("that stops reading does not stop the process", async () => {
    const child = run(50_000);
    // Nobody reads stdout: the pipe fills, and the process must still end by itself, in time.
    const [code] = (await once(child, "exit")) as [number];
    expect(code).toBe(0);
    child.stdout.destroy();
  });
});

describe("ids", () => {
  test("are well formed, distinct, and sort by time", async () => {
    const ids = Array.from({ length: 10_000 }, newConnectionId);
    expect(new Set(ids).size).toBe(10_000);
    expect(ids.every(isConnectionId)).toBe(true);
    const first = newConnectionId();
    const started = Date.now();
    while (Date.now() === started) await new Promise(setImmediate);
    expect(newConnectionId() > first).toBe(true);
    expect(newRequestId()).toMatch(/^req-[0-9A-HJKMNP-TV-Z]{26}$/);
  });

  test.each([
    "",
    "c-",
    "c-01JD",
    "req-01JDZZZZZZZZZZZZZZZZZZZZZZ",
    `c-${"I".repeat(26)}`,
    `c-${"0".repeat(26)}\n`,
  ])("%p is no connection id", (text) => expect(isConnectionId(text)).toBe(false));
});
