/**
 * A process under a service manager, for `service-manager.test.ts`. It counts its reloads on stdout, drains when told to, and hangs for
 * `HANG_MS` on SIGUSR2, in which it looks whether the words in the file `WORDS` become more.
 */
import { readFileSync } from "node:fs";
import { runProcess } from "@gatehouse/shared/process-lifecycle";

const { HANG_MS = "0", WORDS = "" } = process.env;
/** Milliseconds for a word that was on its way when the loop began to hang. */
const ON_ITS_WAY_MS = 500;

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

process.on("SIGUSR2", () => {
  block(ON_ITS_WAY_MS);
  const before = readFileSync(WORDS, "utf8").length;
  block(Number(HANG_MS));
  say(`hung: ${readFileSync(WORDS, "utf8").length - before} more`);
});

await runProcess(process.env, async () => {
  const keepAlive = setInterval(() => undefined, 60_000);
  say("started");
  return {
    drainMs: 2000,
    reload: () => say("reloaded"),
    drain: async () => {
      clearInterval(keepAlive);
      say("drained");
    },
  };
});
