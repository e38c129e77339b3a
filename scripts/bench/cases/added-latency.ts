import type { Case, Figure } from "../case.ts";
import { HOSTNAME } from "../place.ts";
import { takeSample } from "../sample.ts";
import { dispatchers } from "./dispatchers.ts";

const common = { unit: "us", better: "lower", subject: "gatehouse", peer: "haproxy" } as const;

const figures: readonly Figure[] = [
  {
    ...common,
    id: "added-p50",
    work: "dispatcher: added latency, one connection, p50",
    reach: 1,
    prototype: "1.0x",
    value: ({ p50 }, { direct }) => p50 - (direct?.p50 ?? Number.NaN),
  },
  {
    ...common,
    id: "added-p99",
    work: "dispatcher: added latency, one connection, p99",
    reach: 1.2,
    prototype: "2x",
    value: ({ p99 }, { direct }) => p99 - (direct?.p99 ?? Number.NaN),
  },
];

/** A pair through a dispatcher, less what it takes without one. */
export const addedLatency: Case = {
  name: "added-latency",
  title: "Added latency",
  figures,
  open: async (place, { seconds }) => ({
    contenders: [
      {
        name: "direct",
        start: async () => ({
          name: "direct",
          to: String(place.sink.port),
          pids: [],
          stop: async () => undefined,
        }),
      },
      ...dispatchers(place, ["haproxy", "gatehouse"]),
    ],
    sample: (contender) =>
      takeSample(contender, {
        program: "load-raw",
        words: { mode: "pairs", name: HOSTNAME, connections: 1, seconds: seconds / 2 },
      }),
  }),
};
