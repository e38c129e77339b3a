import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { NODE_FLAGS } from "@gatehouse/shared/node-flags";
import type { Hostname } from "@gatehouse/shared/hostname";
import { parseRoute } from "@gatehouse/shared/route";

const run = promisify(execFile);
const INSTANCE_MAIN = join(import.meta.dirname, "../../packages/instance/dist/main.js");
/** What an operator types behind `node`. */
const INSTANCE_COMMAND = [...NODE_FLAGS.instance, INSTANCE_MAIN].join(" ");
const UNITS_HELPER = join(import.meta.dirname, "../../deploy/systemd/units");
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

/** What the helper exits with while a former generation still drains: two can't be overlapped by a third. */
const EXIT_TRY_LATER = 75;

/**
 * Has the helper of the units take its steps, which are in one place for us and for whoever types them. Hostnames hold only what a
 * unit's name may hold, so nothing is escaped (systemd.unit(5)).
 */
export class SystemdRunner implements HostRunner {
  readonly #helper: string;

  constructor(helper: string = UNITS_HELPER) {
    this.#helper = helper;
  }

  async start(hostname: Hostname, route: string): Promise<string> {
    // The socket unit is what listens, so that connections wait while an instance restarts; a port would be nobody's.
    if (!route.startsWith("unix:")) return await new OperatorRunner().start(hostname, route);
    await run(this.#helper, ["enable", "instance", hostname]);
    return `The units of ${hostname} are enabled and started`;
  }

  /** The next generation serves before the former one drains: nobody is refused, no stream is cut off. */
  async restart(hostname: Hostname): Promise<string> {
    try {
      await run(this.#helper, ["next", "instance", hostname]);
    } catch (error) {
      if ((error as { code?: unknown }).code !== EXIT_TRY_LATER) throw error;
      throw new Error(`a former instance of ${hostname} still drains; try again when it has ended`, {
        cause: error,
      });
    }
    return `The next instance of ${hostname} serves; the former one ends when its streams have`;
  }

  async stop(hostname: Hostname): Promise<string> {
    await run(this.#helper, ["disable", "instance", hostname]);
    return `The units of ${hostname} are stopped and disabled`;
  }
}

/** Says what to type. Under another supervisor it is what to put there. */
class OperatorRunner implements HostRunner {
  async start(hostname: Hostname, route: string): Promise<string> {
    const problem = await makeSocketDirectory(route);
    const line = `Start its instance: GATEHOUSE_HOSTNAME=${hostname} node ${INSTANCE_COMMAND}`;
    return problem === undefined ? line : `${problem}\n${line}`;
  }

  async restart(hostname: Hostname): Promise<string> {
    return `No systemd unit runs ${hostname} here. Send its instance TERM, wait for it to end, and start it: GATEHOUSE_HOSTNAME=${hostname} node ${INSTANCE_COMMAND}`;
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
