// Writes N records to the console and exits after a bounded flush, as a process does when it drains.
import { ConsoleSink } from "../../src/console-sink.ts";
import { RecordWriter } from "../../src/record-log.ts";

const log = new RecordWriter({
  level: "info",
  component: "dispatcher",
  sinks: [new ConsoleSink()],
  maxQueuedRecords: 100_000,
});
for (let i = 0; i < Number(process.argv[2]); i++) {
  log.write({
    time: Date.now(),
    level: "info",
    component: "dispatcher",
    event: "connection_ended",
    message: `record ${i}`,
  });
}
await log.flush(2000);
process.exit(0);
