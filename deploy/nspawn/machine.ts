import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

const PROGRAMS = ["systemd-nspawn", "debootstrap", "nsenter"];
const PACKAGES = ["systemd", "systemd-sysv", "dbus", "iproute2", "redis-server", "ca-certificates"];
/** A minimal system boots in 3 s; a machine whose cores are all busy takes its time. */
const BOOT_TIMEOUT_MS = 90_000;
const COMMAND_TIMEOUT_MS = 90_000;
const POWER_OFF_TIMEOUT_MS = 60_000;

/** Returns why no machine can be booted here; undefined when one can be tried. */
export function whyNot(): string | undefined {
  if (process.platform !== "linux") return "it needs Linux";
  if (process.getuid?.() !== 0) return "it needs root, to boot a systemd of its own in a container";
  if (!existsSync("/etc/debian_version")) return "it needs Debian, from whose packages it builds the machine";
  const missing = PROGRAMS.filter((program) => spawnSync("which", [program]).status !== 0);
  if (missing.length === 0) return undefined;
  return `${missing.join(", ")} missing: apt-get install systemd-container debootstrap`;
}

/** Builds the system that machines are copied from, once. */
export async function buildBase(base: string, say: (text: string) => void): Promise<void> {
  if (existsSync(base)) return;
  say("building the machine's system from Debian packages, once (2 minutes)");
  const partial = `${base}.partial`;
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  const args = ["--variant=minbase", `--include=${PACKAGES.join(",")}`, "bookworm", partial];
  const child = spawn("debootstrap", args, { stdio: ["ignore", "ignore", "inherit"] });
  const status = await new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
  if (status !== 0) throw new Error(`debootstrap failed (${String(status)})`);
  await rename(partial, base);
}

/** Makes the file system of one machine. */
export async function copyBase(base: string, root: string): Promise<void> {
  await rm(root, { recursive: true, force: true });
  await mkdir(dirname(root), { recursive: true });
  // Not Node's own copy, which refuses the device nodes in /dev.
  const child = spawn("cp", ["-a", "--reflink=auto", base, root], { stdio: "inherit" });
  const status = await new Promise((resolve) => child.once("exit", resolve).once("error", resolve));
  if (status !== 0) throw new Error(`cp -a failed (${String(status)})`);
}

/** What a command said and how it ended. */
export interface Outcome {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running system with a systemd of its own, seen from outside. */
export class Machine {
  readonly root: string;
  /** Of its PID 1, as the host counts. */
  readonly pid: number;

  constructor(root: string, pid: number) {
    this.root = root;
    this.pid = pid;
  }

  get isUp(): boolean {
    return existsSync(`/proc/${this.pid}`);
  }

  /** Runs a command in it. */
  async run(...command: readonly string[]): Promise<Outcome> {
    const child = spawn("nsenter", ["-t", String(this.pid), "-m", "-p", "-n", "-i", "-u", "--", ...command], {
      stdio: ["ignore", "pipe", "pipe"],
      timeout: COMMAND_TIMEOUT_MS,
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    const status = await new Promise<number | null>((resolve, reject) =>
      child.once("close", resolve).once("error", reject),
    );
    return { status, stdout: stdout.trim(), stderr: stderr.trim() };
  }

  /** Runs a command in it and returns what it printed. @throws when it fails */
  async must(...command: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...command);
    if (status !== 0) throw new Error(`${command.join(" ")}: status ${status}\n${stdout}\n${stderr}`);
    return stdout;
  }

  /** A property of a unit, such as `ActiveState`. */
  async property(unit: string, name: string): Promise<string> {
    return this.must("systemctl", "show", `--property=${name}`, "--value", unit);
  }

  /** Resolves when `isTrue` does; says what it has waited for when that takes too long. */
  async until(what: string, isTrue: () => Promise<boolean>, timeoutMs = 30_000): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!(await isTrue())) {
      if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
      await delay(50);
    }
  }

  async untilState(unit: string, ...states: readonly string[]): Promise<void> {
    const isThere = async (): Promise<boolean> => states.includes(await this.property(unit, "ActiveState"));
    await this.until(`${unit} ${states.join(" or ")}`, isThere);
  }
}

/** The container that a machine runs in; ends with `stop`. */
export class Container {
  readonly machine: Machine;
  readonly #child: ChildProcess;

  private constructor(machine: Machine, child: ChildProcess) {
    this.machine = machine;
    this.#child = child;
  }

  /** @throws when it does not come up: no cgroups, no namespaces, a container around it that forbids them */
  static async boot(root: string): Promise<Container> {
    const options = ["--register=no", "--keep-unit", "--private-network", "--link-journal=no"];
    const args = ["-q", "-D", root, ...options, "--console=pipe", "--boot"];
    const child = spawn("systemd-nspawn", args, { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(-2000)));
    }
    const deadline = performance.now() + BOOT_TIMEOUT_MS;
    while (performance.now() < deadline && child.exitCode === null) {
      await delay(250);
      const pid = await firstChild(child.pid);
      if (pid === undefined) continue;
      const machine = new Machine(root, pid);
      const { stdout } = await machine.run("systemctl", "is-system-running");
      if (/^(?:running|degraded)$/.test(stdout)) return new Container(machine, child);
    }
    child.kill("SIGKILL");
    throw new Error(`systemd does not boot in nspawn here: ${said.trim() || "nothing was said"}`);
  }

  /** Ends it, in order when it still can. */
  async stop(): Promise<void> {
    if (this.machine.isUp) await this.machine.run("systemctl", "poweroff");
    const deadline = performance.now() + POWER_OFF_TIMEOUT_MS;
    while (this.machine.isUp && performance.now() < deadline) await delay(100);
    if (this.machine.isUp) process.kill(this.machine.pid, "SIGKILL");
    this.#child.kill("SIGKILL");
  }
}

async function firstChild(pid: number | undefined): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8").catch(() => "");
  const [first] = text.trim().split(" ");
  return first === undefined || first === "" ? undefined : Number(first);
}

/** Where the machine's systems are kept, below the repository. */
export function machinePlaces(repository: string): { readonly base: string; readonly root: string } {
  const cache = join(repository, ".cache/nspawn");
  return { base: join(cache, "base"), root: join(cache, "machine") };
}
