import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { Hostname } from "@gatehouse/shared/hostname";
import { parseRoute } from "@gatehouse/shared/route";

const run = promisify(execFile);
const INSTANCE_MAIN = join(import.meta.dirname, "../../packages/instance/dist/main.js");
const TEMPLATE = "gatehouse-instance@.service";

/** Who starts and ends the process of a hostname. Every answer is a sentence for the operator. */
export interface HostRunner {
  /** `route` is what the instance will listen on. May be repeated. */
  start(hostname: Hostname, route: string): Promise<string>;
  restart(hostname: Hostname): Promise<string>;
  stop(hostname: Hostname): Promise<string>;
}

/** Returns systemd where it is in charge (sd_booted(3)) and our units are installed; else the operator starts instances. */
export async function hostRunner(): Promise<HostRunner> {
  if (!existsSync("/run/systemd/system")) return new OperatorRunner();
  const isInstalled = await run("systemctl", ["cat", TEMPLATE]).then(
    () => true,
    () => false,
  );
  return isInstalled ? new SystemdRunner() : new OperatorRunner();
}

/** Hostnames hold only what a unit's name may hold, so nothing is escaped (systemd.unit(5)). */
export class SystemdRunner implements HostRunner {
  readonly #systemctl: string;

  constructor(systemctl: string = "systemctl") {
    this.#systemctl = systemctl;
  }

  async start(hostname: Hostname): Promise<string> {
    await run(this.#systemctl, ["enable", "--now", unit(hostname, "socket"), unit(hostname, "service")]);
    return `${unit(hostname, "service")} is enabled and started`;
  }

  async restart(hostname: Hostname): Promise<string> {
    // The socket unit holds new connections meanwhile.
    await run(this.#systemctl, ["restart", unit(hostname, "service")]);
    return `${unit(hostname, "service")} is restarted`;
  }

  async stop(hostname: Hostname): Promise<string> {
    await run(this.#systemctl, ["disable", "--now", unit(hostname, "socket"), unit(hostname, "service")]);
    return `${unit(hostname, "service")} is stopped and disabled`;
  }
}

/** Says what to type. Under another supervisor it is what to put there. */
class OperatorRunner implements HostRunner {
  async start(hostname: Hostname, route: string): Promise<string> {
    const problem = await makeSocketDirectory(route);
    const line = `Start its instance: GATEHOUSE_HOSTNAME=${hostname} node ${INSTANCE_MAIN}`;
    return problem === undefined ? line : `${problem}\n${line}`;
  }

  async restart(hostname: Hostname): Promise<string> {
    return `No systemd unit runs ${hostname} here. Send its instance TERM, wait for it to end, and start it: GATEHOUSE_HOSTNAME=${hostname} node ${INSTANCE_MAIN}`;
  }

  async stop(hostname: Hostname): Promise<string> {
    return `The instance of ${hostname} answers nobody any more; if one runs, send it TERM`;
  }
}

/** The directory's group says who may connect to the sockets in it (mode 0750), so it is made with that mode or not at all. */
async function makeSocketDirectory(route: string): Promise<string | undefined> {
  const parsed = parseRoute(route);
  const [target] = parsed.ok ? parsed.route.targets : [];
  if (target?.kind !== "unix") return undefined;
  const directory = dirname(target.path);
  try {
    await stat(directory).catch(async () => await mkdir(directory, { mode: 0o750 }));
    return undefined;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return `Make the directory of its socket first (${code}): mkdir -p -m 0750 ${directory}`;
  }
}

function unit(hostname: Hostname, kind: "socket" | "service"): string {
  return `gatehouse-instance@${hostname}.${kind}`;
}
