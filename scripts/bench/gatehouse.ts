import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { GatehouseChild } from "../demo/gatehouse-child.ts";
import { asOne, type Contender } from "./contender.ts";
import { CHAIN_CORE } from "./cores.ts";
import { HOSTNAME, LOOPBACK, type Place } from "./place.ts";
import { pinTo, putFirst } from "./process-cpu.ts";

let started = 0;

async function logDirectory(place: Place): Promise<string> {
  const directory = join(place.directory, `gatehouse-${++started}`);
  await mkdir(join(directory, "state"), { recursive: true, mode: 0o700 });
  return directory;
}

/** What every process of a deployment is told; all else is at its default, logging included. */
function common(place: Place, directory: string, port: number): Record<string, string> {
  return {
    REDIS_URL: place.store.url,
    GATEHOUSE_PUBLIC_PORT: String(port),
    GATEHOUSE_STATE_DIR: join(directory, "state"),
    GATEHOUSE_DISPATCHER_DRAIN_SECONDS: "0", // of the end only
    GATEHOUSE_INSTANCE_DRAIN_SECONDS: "0",
  };
}

export interface DispatcherOptions {
  /** Value of the route of {@link HOSTNAME}; undefined leaves the routes alone. */
  readonly route?: string;
  /** Undefined: on any core. */
  readonly core?: number | undefined;
  /** Undefined: any free one. */
  readonly port?: number;
  /** Listening descriptor that processes of one dispatcher share, and their number. */
  readonly shared?: { readonly descriptor: number; readonly port: number; readonly processes: number };
}

/** Starts a dispatcher as deployed. */
export async function startDispatcher(place: Place, options: DispatcherOptions): Promise<Contender> {
  const { route, shared } = options;
  if (route !== undefined) await place.redis.set(`route:${HOSTNAME}`, route);
  const port = shared?.port ?? options.port ?? (await place.port());
  const children: GatehouseChild[] = [];
  const stop = async (): Promise<void> => {
    await Promise.all(children.map((child) => child.stop()));
  };
  for (let number = 0; number < (shared?.processes ?? 1); number++) {
    const directory = await logDirectory(place);
    const role = { package: "dispatcher", name: "dispatcher", descriptor: shared?.descriptor } as const;
    const settings = {
      ...common(place, directory, port),
      GATEHOUSE_DISPATCHER_LISTEN: `${LOOPBACK}:${port}`,
    };
    children.push(await GatehouseChild.start(role, directory, settings));
  }
  const core = "core" in options ? options.core : CHAIN_CORE;
  settle(children, core);
  const pids = children.map(({ pid }) => pid);
  return {
    name: "gatehouse",
    to: String(port),
    pids,
    aside: [place.store.pid],
    isCompiledAtRun: true,
    stop,
  };
}

function settle(children: readonly GatehouseChild[], core: number | undefined): void {
  for (const { pid } of children) {
    putFirst(pid);
    if (core !== undefined) pinTo(core, pid);
  }
}

export interface InstanceOptions {
  readonly hostname?: string;
  /** Port that peers connect to. */
  readonly port: number;
}

/** Name of the unix socket that an instance is reached at. */
export function instanceSocket(place: Place, hostname: string): string {
  return join(place.directory, "run", `${hostname}.sock`);
}

/** Writes what `host add` would write. */
export async function addHost(place: Place, hostname: string, isProtected: boolean): Promise<void> {
  const config = {
    target_url: `http://${LOOPBACK}:${place.origin.port}`,
    certificate: "file",
    ...(isProtected ? { auth_enabled: true, auth_required_users: ["*"] } : {}),
  };
  await place.redis.set(`proxy:${hostname}`, JSON.stringify(config));
  await place.redis.set(`route:${hostname}`, `unix:${instanceSocket(place, hostname)}`);
}

/** Starts the instance of a host that was added. */
export async function startInstance(place: Place, options: InstanceOptions): Promise<GatehouseChild> {
  const { hostname = HOSTNAME, port } = options;
  const directory = await logDirectory(place);
  const { certPath, keyPath } = place.certificate;
  const child = await GatehouseChild.start({ package: "instance", name: hostname }, directory, {
    ...common(place, directory, port),
    GATEHOUSE_HOSTNAME: hostname,
    GATEHOUSE_SECRET_KEY_FILE: place.secretKeyFile,
    GATEHOUSE_CERTIFICATE_FILE: certPath,
    GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath,
    GITHUB_CLIENT_ID: "bench",
    GITHUB_CLIENT_SECRET: "bench",
  });
  settle([child], CHAIN_CORE);
  return child;
}

/** Starts dispatcher and instance, connected by a unix socket as `host add` connects them. */
export async function startChain(
  place: Place,
  { isProtected, port }: { readonly isProtected: boolean; readonly port: number },
): Promise<Contender> {
  await addHost(place, HOSTNAME, isProtected);
  const dispatcher = await startDispatcher(place, { port });
  try {
    const instance = await startInstance(place, { port });
    return asOne(dispatcher, { pids: [instance.pid], stop: () => instance.stop() });
  } catch (error) {
    await dispatcher.stop();
    throw error;
  }
}
