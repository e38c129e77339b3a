// `npm run demo`: the whole system on loopback, one run through it as a peer, then it stays up.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { removeDemoFile, writeDemoFile, type DemoFile } from "./demo-file.ts";
import { claimStateDir, runningDemo } from "./demo-pid.ts";
import { detach, StopRequests } from "./detach.ts";
import { ConsoleNarrator } from "./narrator.ts";
import { readOptions, stopCommand, USAGE, UsageError, type DemoOptions } from "./options.ts";
import { printReadyLines } from "./ready-lines.ts";
import { logByIp } from "./records.ts";
import { runAsPeer } from "./run-as-peer.ts";
import { DemoSystem } from "./system.ts";

const EXIT_USAGE = 2;

/** Of the records about the peer, how many are printed. */
const PRINTED_RECORDS = 10;

async function demo(options: DemoOptions): Promise<number> {
  const { stateDir } = options;
  mkdirSync(stateDir, { recursive: true });
  const holder = claimStateDir(stateDir);
  if (holder !== undefined) return refuse(stateDir, holder);
  await removeDemoFile(stateDir); // of one that was killed
  const narrator = new ConsoleNarrator();
  const system = new DemoSystem(options, narrator);
  const stop = new StopRequests(process.env);
  try {
    const work = startAndRun(system, options, narrator);
    work.catch(() => undefined); // reported below, unless a stop came first
    const file = await Promise.race([work, stop.asked]);
    if (file === "stop") return 130;
    if (options.mode === "once") return 0;
    stop.reportReady();
    await Promise.race([stop.asked, reportEnds(system)]);
    console.log("\nending everything");
    return 0;
  } catch (error) {
    console.error(`\nFAILED at step ${narrator.current}`);
    console.error(error instanceof Error ? error.message : String(error));
    console.error(`the processes' logs: ${system.logDir}`);
    return 1;
  } finally {
    await system.stop();
    await removeDemoFile(stateDir);
  }
}

async function startAndRun(
  system: DemoSystem,
  options: DemoOptions,
  narrator: ConsoleNarrator,
): Promise<DemoFile> {
  const file = await system.start();
  const { address, clientId } = await runAsPeer(file, options, narrator);
  narrator.step(
    `What the record has about ${address}, newest last: scripts/log-by-ip ${address} --limit ${PRINTED_RECORDS}`,
  );
  narrator.detail(await logByIp(address, file.redis_url, PRINTED_RECORDS));
  await writeDemoFile(options.stateDir, file);
  if (options.mode !== "once") printReadyLines(file, options, { address, clientId });
  return file;
}

/** Says when a process of the system ends by itself; the others go on, as they would in earnest. Never resolves. */
async function reportEnds(system: DemoSystem): Promise<never> {
  for (const child of system.children)
    child.onEnd((how) => console.log(`${child.name} ended (${how}); its log: ${child.logFile}`));
  return await new Promise(() => undefined);
}

function refuse(stateDir: string, holder: number): number {
  console.error(
    `a demo runs already with ${stateDir} (process ${holder}): ${stopCommand(stateDir)} ends it, ` +
      "npm run demo -- --state-dir DIR starts another one beside it",
  );
  return 1;
}

async function foreground(options: DemoOptions, args: readonly string[]): Promise<number> {
  if (options.mode !== "detach") return await demo(options);
  const holder = runningDemo(options.stateDir);
  if (holder !== undefined) return refuse(options.stateDir, holder);
  return await detach(join(options.stateDir, "logs"), args);
}

try {
  const args = process.argv.slice(2);
  process.exitCode = await foreground(readOptions(args, process.env), args);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\n${USAGE}`);
  process.exitCode = EXIT_USAGE;
}
// Sockets of a run that was interrupted may still be open.
process.exit();
