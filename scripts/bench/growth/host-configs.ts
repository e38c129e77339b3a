import { startChain, startInstance } from "../gatehouse.ts";
import { HOSTNAME, type Place } from "../place.ts";
import { residentMemory } from "../process-tree.ts";
import { statusOf, untilSeen } from "./followed-change.ts";
import type { Growth } from "./growth.ts";

const CONFIGS = [1, 10, 100, 1000, 10_000];
const CONFIGS_QUICK = [1, 1000];

interface Taken {
  readonly start: number;
  readonly memory: number;
  readonly change: number;
}

async function addConfigs(place: Place, from: number, to: number): Promise<void> {
  const pipeline = place.redis.pipeline();
  for (let number = from; number < to; number++) {
    pipeline.set(`proxy:c${number}.example`, JSON.stringify({ target_url: "http://127.0.0.1:3000" }));
    pipeline.set(`route:c${number}.example`, "13001");
  }
  await pipeline.exec();
}

async function take(place: Place): Promise<Taken> {
  const port = await place.port();
  const chain = await startChain(place, { isProtected: false, port });
  try {
    const memory = residentMemory(chain.pids[1] ?? 0) / 1024 ** 2;
    const text = (await place.redis.get(`proxy:${HOSTNAME}`)) ?? "{}";
    const config = JSON.parse(text) as object;
    const change = await untilSeen(
      async (number) =>
        await place.redis.set(
          `proxy:${HOSTNAME}`,
          JSON.stringify({ ...config, maintenance: number % 2 === 0 }),
        ),
      async (number) => (await statusOf(port, HOSTNAME)) === (number % 2 === 0 ? 503 : 200),
    );
    return { start: 0, memory, change };
  } finally {
    await chain.stop();
  }
}

async function startTime(place: Place): Promise<number> {
  const begun = performance.now();
  const child = await startInstance(place, { port: 443 });
  const time = performance.now() - begun;
  await child.stop();
  return time;
}

/** 1 to 10,000 hosts in Redis, one of them served here. */
export const hostConfigs: Growth = {
  name: "host-configs",
  draw: async (place, { isQuick }) => {
    const taken: [number, Taken][] = [];
    let there = 1;
    for (const count of isQuick ? CONFIGS_QUICK : CONFIGS) {
      await addConfigs(place, there, count);
      there = count;
      const facts = await take(place);
      taken.push([count, { ...facts, start: await startTime(place) }]);
    }
    const line = (value: (each: Taken) => number) => [
      { name: "gatehouse", points: taken.map(([count, each]) => [count, value(each)] as const) },
    ];
    const x = "hosts in Redis";
    return [
      {
        name: "host-configs-start",
        title: "Instance: time to start",
        x,
        y: "ms",
        series: line(({ start }) => start),
        note: "From spawn to the record that says it serves. An instance reads its own keys only.",
      },
      {
        name: "host-configs-memory",
        title: "Instance: resident memory",
        x,
        y: "MiB",
        series: line(({ memory }) => memory),
        note: "Just started.",
      },
      {
        name: "host-configs-change",
        title: "From a SET of a host config to the first request that obeys it",
        x,
        y: "ms",
        series: line(({ change }) => change),
        note: "Median of five, the request on a new connection included.",
      },
    ];
  },
};
