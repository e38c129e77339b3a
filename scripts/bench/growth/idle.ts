import { setTimeout as delay } from "node:timers/promises";
import { dispatchers } from "../cases/dispatchers.ts";
import type { Contender } from "../contender.ts";
import { LOAD_CORE } from "../cores.ts";
import type { Series } from "../curve-svg.ts";
import { LoadRun } from "../load-run.ts";
import { HOSTNAME } from "../place.ts";
import { treeCpuSeconds, treeMemory } from "../process-tree.ts";
import type { Growth } from "./growth.ts";

const CONNECTIONS = [10, 100, 1000, 3000, 6000, 9000];
const CONNECTIONS_QUICK = [10, 1000, 3000];
const REST_MS = 1_500;
const WATCH_MS = 3_000;

interface Held {
  /** MiB more than with none. */
  readonly memory: number;
  /** Milliseconds of CPU in a second without any traffic. */
  readonly cpu: number;
}

async function hold(contender: Contender, connections: number): Promise<Held> {
  await delay(REST_MS);
  const before = treeMemory(contender.pids);
  const words = { mode: "hold", to: contender.to, name: HOSTNAME, connections };
  const run = await LoadRun.start("load-raw", words, LOAD_CORE);
  try {
    await delay(REST_MS);
    const memory = (treeMemory(contender.pids) - before) / 1024 ** 2;
    const cpu = treeCpuSeconds(contender.pids);
    await delay(WATCH_MS);
    return { memory, cpu: ((treeCpuSeconds(contender.pids) - cpu) / WATCH_MS) * 1e6 };
  } finally {
    await run.abort();
  }
}

/** 10 to 9,000 connections of which none says anything, each number on a fresh process. */
export const idle: Growth = {
  name: "idle",
  draw: async (place, { isQuick }) => {
    const memory: Series[] = [];
    const cpu: Series[] = [];
    for (const { name, start } of dispatchers(place, ["haproxy", "gatehouse"])) {
      const held: [number, Held][] = [];
      for (const count of isQuick ? CONNECTIONS_QUICK : CONNECTIONS) {
        const contender = await start();
        try {
          held.push([count, await hold(contender, count)]);
        } finally {
          await contender.stop();
        }
      }
      memory.push({ name, points: held.map(([count, each]) => [count, each.memory]) });
      cpu.push({ name, points: held.map(([count, each]) => [count, each.cpu]) });
    }
    const x = "idle connections";
    return [
      {
        name: "idle-memory",
        title: "Dispatcher: memory for idle connections",
        x,
        y: "MiB",
        series: memory,
        note: "Over what the fresh process had. The first some hundred connections also pay for the heap's first growth.",
      },
      {
        name: "idle-cpu",
        title: "Dispatcher: CPU at rest",
        x,
        y: "ms of CPU per s",
        series: cpu,
        note: "Nothing is sent; what is left is timers and Redis.",
      },
    ];
  },
};
