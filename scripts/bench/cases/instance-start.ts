import { setTimeout as delay } from "node:timers/promises";
import { join } from "node:path";
import type { Case, Figure } from "../case.ts";
import type { Contender } from "../contender.ts";
import { LOAD_CORE } from "../cores.ts";
import { addHost, instanceSocket, startInstance } from "../gatehouse.ts";
import { LoadRun } from "../load-run.ts";
import { startPeer } from "../peers/peer-process.ts";
import { HOSTNAME, type Place } from "../place.ts";
import { residentMemory } from "../process-tree.ts";
import type { Sample } from "../sample.ts";

/** Three looks of a process at rest, which then gives memory back. */
const REST_MS = 3_000;
const BARE_SERVER = join(import.meta.dirname, "../peers/bare-node.mjs");

const common = { better: "lower", subject: "gatehouse", peer: "bare-node" } as const;

const figures: readonly Figure[] = [
  {
    ...common,
    id: "idle-resident",
    work: "instance: resident memory when idle",
    unit: "MiB",
    reach: 1.3,
    value: ({ memory = Number.NaN }) => memory / 1024 ** 2,
  },
  {
    ...common,
    id: "first-answer",
    work: "instance: time from exec to first answer",
    unit: "ms",
    reach: 2,
    value: ({ seconds }) => seconds * 1000,
  },
];

interface Started {
  readonly to: string;
  readonly proxy: 0 | 1;
  readonly start: () => Promise<Contender>;
}

/** Starts it while somebody asks again and again, and reads its memory when it has come to rest. */
async function firstAnswer({ to, proxy, start }: Started): Promise<Sample> {
  const words = { mode: "first", to, name: HOSTNAME, path: "/hello", host: HOSTNAME, proxy };
  const run = await LoadRun.start("load-tls", words, LOAD_CORE);
  const begun = process.hrtime.bigint();
  const [result, contender] = await Promise.all([run.work(), start()]);
  try {
    await run.end();
    await delay(REST_MS);
    const memory = residentMemory(contender.pids[0] ?? 0);
    const seconds = (result.at ?? Number.NaN) / 1e9 - Number(begun) / 1e9;
    return { ...result, seconds, memory, chainCpu: 0, asideCpu: 0, steal: 0 };
  } finally {
    await contender.stop();
  }
}

async function bareNode(place: Place): Promise<Started> {
  const port = await place.port();
  const { certPath, keyPath } = place.certificate;
  const command = [process.execPath, BARE_SERVER, String(port), certPath, keyPath];
  const logFile = join(place.directory, "bare-node.log");
  const start = (): Promise<Contender> =>
    startPeer({ name: "bare-node", command, at: port, logFile, core: undefined });
  return { to: String(port), proxy: 0, start };
}

async function instance(place: Place): Promise<Started> {
  await addHost(place, HOSTNAME, false);
  const start = async (): Promise<Contender> => {
    const child = await startInstance(place, { port: 443 });
    return { name: "gatehouse", to: "", pids: [child.pid], stop: () => child.stop() };
  };
  return { to: `unix:${instanceSocket(place, HOSTNAME)}`, proxy: 1, start };
}

/** An instance alone, asked on its own socket as a health check asks (PROXY LOCAL), beside Node with one https server. */
export const instanceStart: Case = {
  name: "instance-start",
  title: "Start and rest of an instance",
  isFresh: true,
  figures,
  open: async (place) => {
    const started: Readonly<Record<string, Started>> = {
      "bare-node": await bareNode(place),
      gatehouse: await instance(place),
    };
    const nothing = (name: string): Contender => ({ name, to: "", pids: [], stop: async () => undefined });
    return {
      contenders: Object.keys(started).map((name) => ({ name, start: async () => nothing(name) })),
      sample: async ({ name }) => {
        const which = started[name];
        if (which === undefined) throw new TypeError(name);
        return await firstAnswer(which);
      },
    };
  },
};
