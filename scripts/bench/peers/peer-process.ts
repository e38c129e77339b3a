import type { ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import type { Contender } from "../contender.ts";
import { LOOPBACK } from "../place.ts";
import { pinned } from "../load-run.ts";
import { putFirst } from "../process-cpu.ts";

const START_TIMEOUT_MS = 10_000;

export interface PeerCommand {
  readonly name: string;
  readonly command: readonly string[];
  /** Where it listens: a port of loopback, or a unix socket's path. */
  readonly at: number | string;
  /** What it prints goes there; for HAProxy that is its log. */
  readonly logFile: string;
  /** Undefined: on any core. */
  readonly core: number | undefined;
  /** A listening descriptor of ours that it has as its third. */
  readonly descriptor?: number;
}

/** Starts a peer in the foreground and waits until it accepts. */
export async function startPeer(peer: PeerCommand): Promise<Contender> {
  const { name, command, at, logFile, core, descriptor } = peer;
  const log = openSync(logFile, "a");
  const [program = "", ...args] = [...pinned(core), ...command];
  const child = startGuarded(program, args, {
    stdio: ["ignore", log, log, ...(descriptor === undefined ? [] : [descriptor])],
  });
  closeSync(log);
  const deadline = performance.now() + START_TIMEOUT_MS;
  while (!(await accepts(at))) {
    if (child.exitCode !== null || performance.now() > deadline) {
      await endProcess(child, "SIGKILL", 1000);
      throw new Error(`${name} did not start: ${readFileSync(logFile, "utf8").slice(-2000)}`);
    }
    await delay(20);
  }
  const pid = pidOf(child);
  putFirst(pid);
  const to = typeof at === "number" ? String(at) : `unix:${at}`;
  return { name, to, pids: [pid], stop: () => endProcess(child, "SIGTERM", 3000) };
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error("it has no pid");
  return child.pid;
}

async function accepts(at: number | string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = typeof at === "number" ? connect(at, LOOPBACK) : connect(at);
    socket.once("connect", () => (socket.destroy(), resolve(true)));
    socket.once("error", () => resolve(false));
  });
}
