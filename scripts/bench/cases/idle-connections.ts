import { setTimeout as delay } from "node:timers/promises";
import type { Case, Figure } from "../case.ts";
import { HOSTNAME } from "../place.ts";
import { treeMemory } from "../process-tree.ts";
import { takeSample, type Sample } from "../sample.ts";
import type { Contender } from "../contender.ts";
import { BARE_NODE } from "../peers/bare-chain.ts";
import { dispatchers } from "./dispatchers.ts";
import { ofNodeAlone } from "./figures.ts";

/** Milliseconds that a process is given to come to rest, before its memory is read. */
const REST_MS = 1_000;

/** Holds connections without a byte and reads what they take. */
async function holdIdle(contender: Contender, connections: number): Promise<Sample> {
  await delay(REST_MS);
  const before = treeMemory(contender.pids);
  let memory = 0;
  const onReady = (): void => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, REST_MS);
    memory = treeMemory(contender.pids) - before;
  };
  const words = { mode: "hold", name: HOSTNAME, connections };
  const sample = await takeSample(contender, { program: "load-raw", words, onReady });
  return { ...sample, units: connections, memory };
}

const figure: Figure = {
  id: "idle-memory",
  work: "dispatcher: memory per idle connection",
  unit: "KiB",
  better: "lower",
  reach: 1.5,
  prototype: "2.0x",
  subject: "gatehouse",
  peer: "haproxy",
  value: ({ memory = Number.NaN, units }) => memory / units / 1024,
};

/** What a connection takes that nobody uses. */
export const idleConnections: Case = {
  name: "idle-connections",
  title: "Idle connections",
  isFresh: true,
  rounds: ({ isQuick }) => (isQuick ? 1 : 3),
  figures: [figure, ...ofNodeAlone([figure])],
  open: async (place, { isQuick }) => ({
    contenders: dispatchers(place, ["haproxy", "gatehouse", BARE_NODE]),
    sample: (contender) => holdIdle(contender, isQuick ? 2000 : 5000),
  }),
};
