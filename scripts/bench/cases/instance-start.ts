import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { NODE_FLAGS } from "@gatehouse/shared/node-flags";
import { REPOSITORY } from "../../demo/options.ts";
import type { Case, Figure } from "../case.ts";
import type { Contender } from "../contender.ts";
import { LOAD_CORE } from "../cores.ts";
import { addHost, instanceSocket, startInstance } from "../gatehouse.ts";
import { LoadRun } from "../load-run.ts";
import { startPeer } from "../peers/peer-process.ts";
import { HOSTNAME, type Place } from "../place.ts";
import { residentMemory } from "../process-tree.ts";
import type { Sample } from "../sample.ts";
import { doneBy } from "./figures.ts";

/** Three looks of a process at rest, which then gives memory back. */
const REST_MS = 3_000;
const PEERS = join(import.meta.dirname, "../peers");
const PACKAGES_NODE = "node-with-packages";

const common = { better: "lower", subject: "gatehouse", peer: "bare-node" } as const;

const own: readonly Figure[] = [
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

async function node(place: Place, name: string, program: readonly string[]): Promise<Started> {
  const port = await place.port();
  const { certPath, keyPath } = place.certificate;
  const command = [process.execPath, ...program, String(port), certPath, keyPath, place.store.socketPath];
  const logFile = join(place.directory, `${name}.log`);
  const start = (): Promise<Contender> => startPeer({ name, command, at: port, logFile, core: undefined });
  return { to: String(port), proxy: 0, start };
}

/** Makes one file of it, as an instance is one. */
async function packagesNode(place: Place): Promise<Started> {
  const directory = join(place.directory, PACKAGES_NODE);
  const entry = join(PEERS, "packages-node.mjs");
  await promisify(execFile)(process.execPath, [join(REPOSITORY, "bundle.mjs"), entry, directory]);
  await writeFile(join(directory, "package.json"), '{ "type": "module" }\n');
  return await node(place, PACKAGES_NODE, [...NODE_FLAGS.instance, join(directory, "main.js")]);
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
  note: "Node with the same packages: ioredis, zod, winston and undici, each used once, bundled as an instance is, with nothing of Gatehouse (`scripts/bench/peers/packages-node.mjs`).",
  isFresh: true,
  rounds: ({ isQuick, rounds }) => (isQuick ? 1 : rounds),
  // What an instance can't be without, before a line of its own: the packages that it is made of.
  figures: [...own, ...doneBy(PACKAGES_NODE, "Node with the same packages", own)],
  open: async (place) => {
    const started: Readonly<Record<string, Started>> = {
      "bare-node": await node(place, "bare-node", [join(PEERS, "bare-node.mjs")]),
      [PACKAGES_NODE]: await packagesNode(place),
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
