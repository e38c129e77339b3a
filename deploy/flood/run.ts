import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { startGuarded } from "@gatehouse/testbed/guarded-process";
import { Claude } from "../test/support/claude.ts";
import type { Gatehouse } from "../test/support/gatehouse.ts";
import { ProtectedGatehouse } from "../test/support/protected-gatehouse.ts";
import { UpstreamProcess } from "../test/support/upstream-process.ts";
import { CORES, place, type WEIGHTS } from "./place.ts";
import type { FloodOrder, FloodReport } from "./flooder-main.ts";
import { HONEST_KINDS, type HonestOrder, type HonestReport } from "./honest.ts";

/** Where the flood comes from; honest traffic is at 127.0.0.1. */
export interface Case {
  readonly name: string;
  readonly title: string;
  readonly addresses: readonly string[];
  /** Of the dispatcher. */
  readonly env?: Readonly<Record<string, string>>;
}

const OTHERS = Array.from({ length: 50 }, (_, index) => `127.0.1.${index + 1}`);

export const CASES: readonly Case[] = [
  {
    name: "others",
    title: "from 50 other addresses",
    addresses: OTHERS,
  },
  { name: "same", title: "from the very address of the honest", addresses: ["127.0.0.1"] },
  {
    name: "full",
    title: "from 50 other addresses, with room for 1,500 connections in all",
    addresses: OTHERS,
    env: { GATEHOUSE_MAX_CONNECTIONS: "1500" },
  },
  {
    name: "full-same",
    title: "from the very address of the honest, with room for 1,500 connections of it",
    addresses: ["127.0.0.1"],
    env: { GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS: "1500" },
  },
];

export interface Plan {
  readonly connections: number;
  readonly floodSeconds: number;
  readonly calmSeconds: number;
}

export interface Outcome {
  readonly of: Case;
  readonly flood: FloodReport;
  readonly honest: HonestReport;
  /** Goals that were missed. */
  readonly missed: readonly string[];
}

const HOSTNAME = "protected.localhost";
const KEPT_RATE = 0.9;
const P99_FACTOR = 3;
/** Of the descriptors of the flooding process, for itself. */
const RESERVED = 200;
/** Every kind is met once before anything is measured: code that was never run is slow, and that is another matter. */
const WARM_UP = { connections: 3000, seconds: 6 };
/** For what a flood leaves behind when it ends at once. */
const SETTLE_MS = 3000;

export async function runCase(of: Case, plan: Plan): Promise<Outcome> {
  const upstream = await UpstreamProcess.start();
  const bed = await ProtectedGatehouse.start([{ hostname: HOSTNAME, upstreamUrl: upstream.url }], {
    ...(of.env && { dispatcherEnv: of.env }),
  });
  try {
    const { gatehouse } = bed;
    const measured = [gatehouse.dispatcher, gatehouse.instance(HOSTNAME), gatehouse.redis];
    for (const { pid } of measured) place(pid, CORES.gatehouse, "first");
    const token = await logIn(bed);
    const flood = async (connections: number, seconds: number): Promise<FloodReport> => {
      const order = {
        port: gatehouse.port,
        hostname: HOSTNAME,
        addresses: of.addresses,
        connections,
        seconds,
        maxOpen: descriptors() - RESERVED,
      } satisfies FloodOrder;
      return await startProgram<FloodReport>("flooder-main.ts", order, "last").report;
    };
    const honest = startProgram<HonestReport>("honest-main.ts", honestOrder(gatehouse, token), "first");
    await flood(WARM_UP.connections, WARM_UP.seconds);
    await delay(SETTLE_MS);
    honest.say("calm");
    await delay(plan.calmSeconds * 1000);
    honest.say("flood");
    const report = await flood(plan.connections, plan.floodSeconds);
    honest.say("after");
    await delay(SETTLE_MS);
    honest.end();
    const answered = await honest.report;
    return { of, flood: report, honest: answered, missed: missedGoals(answered) };
  } finally {
    await bed.stop();
    await upstream.kill();
  }
}

function missedGoals({ phases, streams }: HonestReport): string[] {
  const missed: string[] = [];
  for (const kind of HONEST_KINDS) {
    const [calm, flood] = [phases["calm"]?.[kind], phases["flood"]?.[kind]];
    if (calm === undefined || flood === undefined) throw new Error("a phase was not measured");
    const kept = flood.answered / flood.sent / (calm.answered / calm.sent);
    if (!(kept >= KEPT_RATE)) missed.push(`${kind}: ${Math.round(kept * 100)} % of the rate`);
    const factor = flood.p99 / calm.p99;
    if (!(factor < P99_FACTOR)) missed.push(`${kind}: p99 ${factor.toFixed(1)} times`);
  }
  if (streams.ended > 0) missed.push(`${streams.ended} streams ended`);
  return missed;
}

function honestOrder({ port, caPem }: Gatehouse, token: string): HonestOrder {
  return { port, caPem, token, hostname: HOSTNAME, localAddress: "127.0.0.1" };
}

async function logIn(bed: ProtectedGatehouse): Promise<string> {
  const claude = new Claude(bed.fetch, bed.origin(HOSTNAME));
  await claude.register();
  return (await claude.authorize(async (url) => await bed.logIn(url, "octocat"))).access_token;
}

/** Starts a program of this directory on the core of the load; what it prints in the end is its report. */
function startProgram<Report>(main: string, order: object, weight: keyof typeof WEIGHTS) {
  const args = ["--conditions=source", join(import.meta.dirname, main), JSON.stringify(order)];
  const child = startGuarded(process.execPath, args, {
    stdio: ["pipe", "pipe", "inherit"],
  });
  if (child.pid !== undefined) place(child.pid, CORES.load, weight);
  const report = async (): Promise<Report> => {
    let text = "";
    for await (const part of child.stdout ?? []) text += String(part);
    return JSON.parse(text) as Report;
  };
  return {
    report: report(),
    say: (line: string): void => void child.stdin?.write(`${line}\n`),
    end: (): void => void child.stdin?.end(),
  };
}

function descriptors(): number {
  return Number(execFileSync("sh", ["-c", "ulimit -n"], { encoding: "utf8" }));
}
