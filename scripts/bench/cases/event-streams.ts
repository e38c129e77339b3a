import { setTimeout as delay } from "node:timers/promises";
import type { Case, Figure } from "../case.ts";
import { treeMemory } from "../process-tree.ts";
import { takeSample } from "../sample.ts";
import { cpuPerUnit, ofNodeAlone } from "./figures.ts";
import { protectedChains } from "./protected-chains.ts";

const TOKENS = 1_000;
const REST_MS = 1_000;
/** Seconds of a fresh process with its streams. */
const FRESH_S = 1;
/**
 * Seconds of events before those that are counted. A stream's first two have a record each, which one of hours does not repeat; and at
 * this rate Node takes so long until it has compiled what an event needs.
 */
const SETTLE = { compiled: 3, compiledAtRun: 8, quick: 1 } as const;

const common = { better: "lower", subject: "gatehouse", peer: "haproxy-rs256" } as const;

const own: readonly Figure[] = [
  {
    ...common,
    id: "event-cpu",
    work: "SSE, protected streams: CPU per event",
    unit: "us",
    reach: 1.6,
    prototype: "2.2x",
    value: cpuPerUnit,
  },
  {
    ...common,
    id: "stream-memory",
    work: "SSE: memory per stream",
    unit: "KiB",
    reach: 3,
    prototype: "3.5x (5x on Node 24)",
    value: ({ memory = Number.NaN }) => memory / 1024,
  },
];

/** Streams over TLS with a token each, an event a second on every one, at different times of the second. */
export const eventStreams: Case = {
  name: "event-streams",
  title: "Event streams",
  note: "1,500 streams (500 with --quick), each with a token on connect. CPU is that of streams that have gone on for some seconds: their start, and its records, are not an event's.",
  isFresh: true,
  rounds: ({ isQuick }) => (isQuick ? 1 : 3),
  figures: [...own, ...ofNodeAlone(own)],
  open: async (place, { isQuick, seconds }) => {
    const chains = await protectedChains(place, { count: TOKENS, tiers: 1 });
    const connections = isQuick ? 500 : 1500;
    return {
      contenders: chains.contenders.filter(({ name }) => name !== "haproxy-es256"),
      sample: async (contender) => {
        await delay(REST_MS);
        const before = treeMemory(contender.pids);
        let memory = 0;
        const onReady = (): void => {
          memory = (treeMemory(contender.pids) - before) / connections;
        };
        const tokens = chains.tokensOf(contender.name).path;
        const words = {
          ...chains.words,
          mode: "events",
          path: "/events",
          connections,
          tokens,
        };
        // What a fresh process takes for them, and what an event costs when all of that work has been done before.
        await takeSample(contender, { program: "load-tls", words: { ...words, seconds: FRESH_S }, onReady });
        const kind = contender.isCompiledAtRun === true ? "compiledAtRun" : "compiled";
        const settle = SETTLE[isQuick ? "quick" : kind];
        const sample = await takeSample(contender, {
          program: "load-tls",
          words: { ...words, settle, seconds: seconds * 2 },
        });
        return { ...sample, memory };
      },
    };
  },
};
