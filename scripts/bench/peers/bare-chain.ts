import { join } from "node:path";
import type { Contender } from "../contender.ts";
import { CHAIN_CORE } from "../cores.ts";
import type { Place } from "../place.ts";
import { startPeer } from "./peer-process.ts";

const PROGRAM = join(import.meta.dirname, "bare-chain.mjs");
/** What it is called in tables. */
export const BARE_NODE = "bare-node";
/** The same with the undocumented `handle` option of a socket. */
export const BARE_NODE_HANDLE = "bare-node-handle";

let started = 0;

/** Starts a dispatcher that does nothing but pass octets on to a unix socket. */
export async function startBareDispatcher(
  place: Place,
  target: string,
  name: typeof BARE_NODE | typeof BARE_NODE_HANDLE = BARE_NODE,
): Promise<Contender> {
  const port = await place.port();
  const how = name === BARE_NODE_HANDLE ? ["handle"] : [];
  const command = [process.execPath, PROGRAM, "dispatcher", String(port), target, ...how];
  const logFile = join(place.directory, `${name}.log`);
  const contender = await startPeer({ name, command, at: port, logFile, core: CHAIN_CORE });
  return { ...contender, isCompiledAtRun: true };
}

/** Starts that and, behind it, an https server that passes requests on. */
export async function startBareChain(place: Place): Promise<Contender> {
  const socket = join(place.directory, `run/bare-${++started}.sock`);
  const { certPath, keyPath } = place.certificate;
  const command = [
    process.execPath,
    PROGRAM,
    "instance",
    socket,
    String(place.origin.port),
    certPath,
    keyPath,
  ];
  const logFile = join(place.directory, "bare-instance.log");
  const instance = await startPeer({
    name: BARE_NODE,
    command,
    logFile,
    core: CHAIN_CORE,
    at: socket,
  });
  const dispatcher = await startBareDispatcher(place, socket);
  return {
    ...dispatcher,
    pids: [...dispatcher.pids, ...instance.pids],
    stop: async () => {
      await Promise.all([dispatcher.stop(), instance.stop()]);
    },
  };
}
