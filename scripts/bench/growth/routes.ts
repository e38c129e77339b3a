import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer, type AddressInfo, type Server } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { connect } from "node:tls";
import { cpuPerUnit } from "../cases/figures.ts";
import type { Contender } from "../contender.ts";
import { startDispatcher } from "../gatehouse.ts";
import { HOSTNAME, LOOPBACK, type Place } from "../place.ts";
import { treeCpuSeconds, treeMemory } from "../process-tree.ts";
import { takeSample } from "../sample.ts";
import { untilSeen } from "./followed-change.ts";
import type { Growth } from "./growth.ts";

const ROUTES = [1, 1000, 10_000, 100_000, 1_000_000];
const ROUTES_QUICK = [1, 1000, 10_000];
const BATCH = 10_000;
/** Names that are connected to, spread over all routes. */
const NAMES = 10_000;
const SETTLE_MS = 500;

function nameOf(number: number): string {
  return number === 0 ? HOSTNAME : `h${number}.example`;
}

async function addRoutes(place: Place, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += BATCH) {
    const pipeline = place.redis.pipeline();
    for (let number = first; number < Math.min(to, first + BATCH); number++)
      pipeline.set(`route:${nameOf(number)}`, `unix:${place.sink.path}`);
    await pipeline.exec();
  }
}

async function namesFile(place: Place, routes: number): Promise<string> {
  const file = join(place.directory, `names-${routes}`);
  const count = Math.min(routes, NAMES);
  const names = Array.from({ length: count }, (_, n) => nameOf(Math.floor((n * routes) / count)));
  await writeFile(file, `${names.join("\n")}\n`);
  return file;
}

/** A fresh dispatcher lists all routes; it has come to rest when it uses no CPU. */
async function settled({ pids }: Contender): Promise<void> {
  for (let before = 0, now = treeCpuSeconds(pids); now - before > SETTLE_MS / 20_000;) {
    await delay(SETTLE_MS);
    [before, now] = [now, treeCpuSeconds(pids)];
  }
}

/** Milliseconds from a SET to the first connection that goes where it says. */
async function invalidation(place: Place, dispatcher: Contender): Promise<number> {
  const targets = await Promise.all([openTarget(), openTarget()]);
  try {
    return await untilSeen(
      async (number) => await place.redis.set(`route:${HOSTNAME}`, String(targets[number % 2]?.port)),
      async (number) => {
        const before = targets[number % 2]?.seen.count ?? 0;
        const socket = connect({
          host: LOOPBACK,
          port: Number(dispatcher.to),
          servername: HOSTNAME,
          rejectUnauthorized: false,
        });
        socket.on("error", () => undefined); // the target is none that speaks TLS
        await new Promise((resolve) => socket.once("close", resolve));
        return (targets[number % 2]?.seen.count ?? 0) > before;
      },
    );
  } finally {
    for (const { server } of targets) server.close();
  }
}

async function openTarget(): Promise<{ server: Server; port: number; seen: { count: number } }> {
  const seen = { count: 0 };
  const server = createServer((socket) => {
    seen.count += 1;
    socket.on("error", () => undefined);
    socket.destroy();
  }).listen(0, LOOPBACK);
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port, seen };
}

interface Taken {
  readonly one: number;
  readonly many: number;
  readonly memory: number;
  readonly invalidation: number;
}

async function take(place: Place, routes: number, seconds: number): Promise<Taken> {
  const dispatcher = await startDispatcher(place, { route: `unix:${place.sink.path}` });
  try {
    await settled(dispatcher);
    const memory = treeMemory(dispatcher.pids) / 1024 ** 2;
    const names = await namesFile(place, routes);
    const words = { mode: "connect", connections: 16, seconds };
    const warm = { program: "load-raw", words: { ...words, name: HOSTNAME } } as const;
    await takeSample(dispatcher, warm);
    const one = cpuPerUnit(await takeSample(dispatcher, warm));
    const many = cpuPerUnit(await takeSample(dispatcher, { ...warm, words: { ...words, names } }));
    return { one, many, memory, invalidation: await invalidation(place, dispatcher) };
  } finally {
    await dispatcher.stop();
  }
}

/** 1 to 1,000,000 routes in Redis. */
export const routes: Growth = {
  name: "routes",
  draw: async (place, { isQuick, seconds }) => {
    const taken: [number, Taken][] = [];
    let there = 0;
    for (const count of isQuick ? ROUTES_QUICK : ROUTES) {
      await addRoutes(place, there, count);
      there = count;
      taken.push([count, await take(place, count, seconds)]);
    }
    const line = (name: string, value: (each: Taken) => number) => ({
      name,
      points: taken.map(([count, each]) => [count, value(each)] as const),
    });
    const x = "routes";
    return [
      {
        name: "routes-lookup",
        title: "Dispatcher: CPU per new connection",
        x,
        y: "us",
        series: [line("to one name", ({ one }) => one), line("to 10,000 names", ({ many }) => many)],
        note: "To one name again and again, and to names spread over all routes. 100,000 routes are kept in memory; beyond them a name is read from Redis when it is asked for.",
      },
      {
        name: "routes-memory",
        title: "Dispatcher: memory",
        x,
        y: "MiB",
        series: [line("gatehouse", ({ memory }) => memory)],
        note: "Of the whole process, at rest, once it has listed the routes.",
      },
      {
        name: "routes-invalidation",
        title: "Dispatcher: from a SET to the first connection that obeys it",
        x,
        y: "ms",
        series: [line("gatehouse", (each) => each.invalidation)],
        note: "Median of five, the connection included.",
      },
    ];
  },
};
