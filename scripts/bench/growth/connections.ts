import { cpuPerUnit } from "../cases/figures.ts";
import { dispatchers } from "../cases/dispatchers.ts";
import { protectedChains } from "../cases/protected-chains.ts";
import type { Contender, ContenderStart } from "../contender.ts";
import type { Series } from "../curve-svg.ts";
import { HOSTNAME } from "../place.ts";
import { takeSample, type Load, type Sample } from "../sample.ts";
import type { Growth } from "./growth.ts";

const CONNECTIONS = [1, 2, 4, 8, 16, 32, 64];
const TOKENS = 1_000;

interface Question {
  readonly contenders: readonly ContenderStart[];
  readonly load: (contender: Contender, connections: number) => Load;
}

/** Contenders take turns at each number of connections, all of them running throughout. */
async function series(question: Question, value: (sample: Sample) => number): Promise<readonly Series[]> {
  const running: Contender[] = [];
  try {
    for (const { start } of question.contenders) running.push(await start());
    const lines = running.map(({ name }) => ({ name, points: [] as [number, number][] }));
    for (const connections of [CONNECTIONS.at(-1) ?? 1, ...CONNECTIONS]) {
      for (const [index, contender] of running.entries())
        lines[index]?.points.push([
          connections,
          value(await takeSample(contender, question.load(contender, connections))),
        ]);
    }
    for (const line of lines) line.points.shift(); // to warm up
    return lines;
  } finally {
    await Promise.all(running.map((contender) => contender.stop()));
  }
}

/** 1 to 64 connections at once. */
export const connections: Growth = {
  name: "connections",
  draw: async (place, { seconds }) => {
    const raw: Question = {
      contenders: dispatchers(place, ["haproxy", "gatehouse"]),
      load: (_contender, count) => ({
        program: "load-raw",
        words: { mode: "pairs", name: HOSTNAME, connections: count, seconds },
      }),
    };
    const pairs = await series(raw, cpuPerUnit);
    const chains = await protectedChains(place, { count: TOKENS, tiers: 1 });
    const whole: Question = {
      contenders: chains.contenders,
      load: ({ name }, count) => ({
        program: "load-tls",
        words: {
          ...chains.words,
          mode: "requests",
          connections: count,
          seconds,
          tokens: chains.tokensOf(name).path,
        },
      }),
    };
    const requests = await series(whole, cpuPerUnit);
    const x = "connections at once";
    return [
      {
        name: "connections-pairs",
        title: "Dispatcher: CPU per request/response pair",
        x,
        y: "us",
        series: pairs,
        note: "Pairs of 64 octets. With more connections more of them are ready at once, so a turn of the event loop serves several.",
      },
      {
        name: "connections-requests",
        title: "Chain: CPU per request with a token",
        x,
        y: "us",
        series: requests,
        note: "1,000 tokens in turn.",
      },
    ];
  },
};
