import { cpuPerUnit } from "../cases/figures.ts";
import type { Contender } from "../contender.ts";
import { addHost, startDispatcher, startInstance } from "../gatehouse.ts";
import { median } from "../median.ts";
import { HOSTNAME, type Place } from "../place.ts";
import { treeMemory } from "../process-tree.ts";
import { takeSample } from "../sample.ts";
import type { Growth } from "./growth.ts";

const INSTANCES = [1, 10, 30, 100];
const INSTANCES_QUICK = [1, 4];
/** Started side by side. */
const AT_ONCE = 2;

type Child = Awaited<ReturnType<typeof startInstance>>;

interface Taken {
  readonly memory: number;
  readonly start: number;
  readonly request: number;
}

async function startUpTo(
  place: Place,
  children: Child[],
  { count, port }: { count: number; port: number },
): Promise<number> {
  const times: number[] = [];
  while (children.length < count) {
    const numbers = Array.from(
      { length: Math.min(AT_ONCE, count - children.length) },
      (_, n) => children.length + n,
    );
    const started = await Promise.all(
      numbers.map(async (number) => {
        const hostname = number === 0 ? HOSTNAME : `i${number}.example`;
        await addHost(place, hostname, false);
        const begun = performance.now();
        const child = await startInstance(place, { hostname, port });
        times.push(performance.now() - begun);
        return child;
      }),
    );
    children.push(...started);
  }
  return median(times);
}

async function requestCost(dispatcher: Contender, instance: Child, seconds: number): Promise<number> {
  const words = {
    mode: "requests",
    name: HOSTNAME,
    host: `${HOSTNAME}:${dispatcher.to}`,
    path: "/hello",
    connections: 16,
    seconds,
  };
  const chain = { ...dispatcher, pids: [...dispatcher.pids, instance.pid] };
  return cpuPerUnit(await takeSample(chain, { program: "load-tls", words }));
}

/** 1 to 100 instances on this machine, all running. */
export const instances: Growth = {
  name: "instances",
  draw: async (place, { isQuick, seconds }) => {
    const dispatcher = await startDispatcher(place, {});
    const children: Child[] = [];
    const taken: [number, Taken][] = [];
    try {
      for (const count of isQuick ? INSTANCES_QUICK : INSTANCES) {
        const start = await startUpTo(place, children, { count, port: Number(dispatcher.to) });
        const memory = treeMemory(children.map(({ pid }) => pid)) / 1024 ** 2 / count;
        const [first] = children;
        if (first === undefined) throw new Error("no instance");
        if (count === 1) await requestCost(dispatcher, first, seconds * 2);
        taken.push([count, { memory, start, request: await requestCost(dispatcher, first, seconds) }]);
      }
    } finally {
      await Promise.all(children.map((child) => child.stop()));
      await dispatcher.stop();
    }
    const line = (value: (each: Taken) => number) => [
      { name: "gatehouse", points: taken.map(([count, each]) => [count, value(each)] as const) },
    ];
    const x = "instances";
    return [
      {
        name: "instances-memory",
        title: "Memory of one instance",
        x,
        y: "MiB",
        series: line(({ memory }) => memory),
        note: "What instances share (program text) is counted in parts; the first one is loaded, the others rest.",
      },
      {
        name: "instances-start",
        title: "Time to start one more instance",
        x,
        y: "ms",
        series: line(({ start }) => start),
        note: "Two at a time on two cores, from spawn to the record that says it serves.",
      },
      {
        name: "instances-request",
        title: "Chain: CPU per request, the other instances at rest",
        x,
        y: "us",
        series: line(({ request }) => request),
        note: "Dispatcher and the instance that is asked.",
      },
    ];
  },
};
