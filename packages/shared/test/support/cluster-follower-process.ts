// Follows the routes of the Redis whose URL is the argument, writes one, and prints what it is told until it has ended.
import { TrackedKeys } from "../../src/redis-tracking.ts";

const KEY = "route:b.example";

const tracked = new TrackedKeys({
  url: process.argv[2] ?? "",
  clientName: "test",
  prefixes: ["route:"],
  onArmed: () => {
    process.stdout.write("armed\n");
    tracked.redis.set(KEY, "1").catch((error: unknown) => void end(`refused: ${String(error)}`));
  },
  onInvalidated: (keys) => void end(keys === "all" ? keys : keys.join(" ")),
  onLost: (reason) => void end(`lost: ${reason}`),
});
tracked.start();

async function end(word: string): Promise<void> {
  process.stdout.write(`${word}\n`);
  await tracked.close();
}
