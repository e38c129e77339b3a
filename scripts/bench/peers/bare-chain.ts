import { join } from "node:path";
import { asOne, type Contender } from "../contender.ts";
import { CHAIN_CORE } from "../cores.ts";
import { HOSTNAME, type Place } from "../place.ts";
import type { TokenTrust } from "../tokens.ts";
import { startPeer } from "./peer-process.ts";

const PROGRAM = join(import.meta.dirname, "bare-chain.mjs");
/** What it is called in tables. */
export const BARE_NODE = "bare-node";
/** The same with the undocumented `handle` option of a socket. */
export const BARE_NODE_HANDLE = "bare-node-handle";

let started = 0;

/** Starts a dispatcher that does HAProxy's work before a unix socket. */
export async function startBareDispatcher(
  place: Place,
  target: string,
  name: typeof BARE_NODE | typeof BARE_NODE_HANDLE = BARE_NODE,
): Promise<Contender> {
  const port = await place.port();
  const how = name === BARE_NODE_HANDLE ? ["handle"] : [];
  const command = [process.execPath, PROGRAM, "dispatcher", String(port), target, HOSTNAME, ...how];
  const logFile = join(place.directory, `${name}.log`);
  const contender = await startPeer({ name, command, at: port, logFile, core: CHAIN_CORE });
  return { ...contender, isCompiledAtRun: true };
}

/** Starts two of them on one listening socket, on any core. */
export async function startBarePair(
  place: Place,
  target: string,
  { descriptor, port }: { readonly descriptor: number; readonly port: number },
): Promise<Contender> {
  const command = [process.execPath, PROGRAM, "dispatcher", "fd:3", target, HOSTNAME];
  const logFile = join(place.directory, `${BARE_NODE}.log`);
  const pair = { name: BARE_NODE, command, at: port, logFile, core: undefined, descriptor };
  return { ...asOne(await startPeer(pair), await startPeer(pair)), isCompiledAtRun: true };
}

/** Starts one and, behind it, an https server that checks tokens, if there is what to trust, and passes requests on. */
export async function startBareChain(place: Place, trust?: TokenTrust): Promise<Contender> {
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
    ...(trust === undefined ? [] : [trust.issuer, trust.keyFile]),
  ];
  const logFile = join(place.directory, "bare-instance.log");
  const instance = await startPeer({
    name: BARE_NODE,
    command,
    logFile,
    core: CHAIN_CORE,
    at: socket,
  });
  return asOne(await startBareDispatcher(place, socket), instance);
}
