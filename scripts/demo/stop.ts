// `npm run demo:stop [-- --state-dir DIR]`: ends the demo that runs with that state directory, however it was started.
import { setTimeout as delay } from "node:timers/promises";
import { runningDemo } from "./demo-pid.ts";
import { readOptions, UsageError } from "./options.ts";

/** Its processes drain for a second; what is still there afterwards is killed, and its children with it. */
const PATIENCE_MS = 15_000;

async function stop(stateDir: string): Promise<void> {
  const pid = runningDemo(stateDir);
  if (pid === undefined) {
    console.log(`no demo runs with ${stateDir}`);
    return;
  }
  process.kill(pid, "SIGTERM");
  const deadline = performance.now() + PATIENCE_MS;
  while (runningDemo(stateDir) === pid) {
    if (performance.now() > deadline) process.kill(pid, "SIGKILL");
    await delay(50);
  }
  console.log(`ended the demo with ${stateDir} (process ${pid})`);
}

try {
  await stop(readOptions(process.argv.slice(2), {}).stateDir);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\nusage: npm run demo:stop [-- --state-dir DIR]`);
  process.exitCode = 2;
}
