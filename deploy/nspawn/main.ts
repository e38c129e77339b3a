// `npm run test:nspawn`: boots a real systemd in a container, installs Gatehouse there as an operator does, and proves under load what the units
// promise. Not part of `npm test`: it needs root and Debian. Where it can't run it says why and ends with status 0.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { buildBase, Container, copyBase, machinePlaces, whyNot, type Machine } from "./machine.ts";
import { Site } from "./site.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const { base, root } = machinePlaces(REPOSITORY);

/** One line of the table at the end. */
interface Row {
  readonly what: string;
  readonly isProved: boolean;
  readonly evidence: string;
  readonly seconds: number;
}

const rows: Row[] = [];
const say = (text: string): void => void process.stderr.write(`${text}\n`);

function add(row: Row): void {
  rows.push(row);
  say(
    `${row.isProved ? "proved" : "FAILED"}  ${row.what} (${row.seconds.toFixed(1)} s)\n        ${row.evidence}`,
  );
}

/** In the machine's network, so that its port 443 is ours to connect to; everything else is the host's. */
async function prove(machine: Machine, site: Site, phase: "running" | "rebooted"): Promise<void> {
  const { redisPassword, authority } = site;
  const script = [process.execPath, join(import.meta.dirname, "proofs.ts")];
  const facts = JSON.stringify({ redisPassword, ca: authority?.caPem });
  const args = ["--pid", String(machine.pid), "--root", root, "--phase", phase, "--site", facts];
  const child = spawn("nsenter", ["-t", String(machine.pid), "-n", "--", ...script, ...args], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  child.on("message", (message: { row?: Row; issue?: boolean }) => {
    if (message.row) add(message.row);
    if (message.issue) void renew(machine, site).then(() => child.send("issued"));
  });
  const [status] = (await once(child, "exit")) as [number | null];
  if (status !== 0)
    add({ what: `${phase}: the proofs end`, isProved: false, evidence: `status ${status}`, seconds: 0 });
}

async function renew(machine: Machine, site: Site): Promise<void> {
  await site.issue();
  await site.grantKeys(machine);
}

async function withMachine(work: (machine: Machine) => Promise<void>): Promise<void> {
  const container = await Container.boot(root);
  const stop = (): void => void container.stop().finally(() => process.exit(1));
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    await work(container.machine);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
    await container.stop();
  }
}

async function installTwice(site: Site): Promise<void> {
  const since = performance.now();
  site.install();
  await site.configure();
  const before = await site.settingsHash();
  site.install();
  const isProved = before === (await site.settingsHash());
  const evidence = "settings and secrets of the first run are untouched by the second";
  const seconds = (performance.now() - since) / 1000;
  add({ what: "the installer can be run again", isProved, evidence, seconds });
}

/** Boots the bare system, before anything of ours is in it: what fails then is this machine's doing, and what fails later is not. */
async function whyNoBoot(): Promise<string | undefined> {
  try {
    await buildBase(base, say);
    await copyBase(base, root);
    await (await Container.boot(root)).stop();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function run(): Promise<number> {
  const site = new Site(root, REPOSITORY);
  await installTwice(site);
  await withMachine(async (machine) => {
    await site.start(machine);
    await prove(machine, site, "running");
  });
  await withMachine((machine) => prove(machine, site, "rebooted"));
  await rm(root, { recursive: true, force: true });
  const failed = rows.filter(({ isProved }) => !isProved);
  for (const { what, isProved, evidence } of rows)
    process.stdout.write(`| ${isProved ? "proved" : "FAILED"} | ${what} | ${evidence} |\n`);
  process.stdout.write(`${rows.length - failed.length} passed, ${failed.length} failed\n`);
  return failed.length === 0 ? 0 : 1;
}

const reason = whyNot() ?? (await whyNoBoot());
if (reason === undefined) process.exitCode = await run();
else process.stdout.write(`nspawn tests skipped: ${reason}\n`);
