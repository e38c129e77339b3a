import type { Case, Figure } from "../case.ts";
import { HOSTNAME } from "../place.ts";
import { takeSample } from "../sample.ts";
import { ALL_DISPATCHERS, dispatchers, OTHER_DISPATCHERS } from "./dispatchers.ts";
import { besides, cpuPerUnit } from "./figures.ts";

const figure: Figure = {
  id: "pairs",
  work: "dispatcher: CPU per request/response pair on open connections",
  unit: "us",
  better: "lower",
  reach: 1,
  prototype: "1.3x",
  subject: "gatehouse",
  peer: "haproxy",
  value: cpuPerUnit,
};

/** 64 octets there and back, one pair at a time on each of 64 connections. */
export const pairs: Case = {
  name: "pairs",
  title: "Request/response pairs",
  figures: [figure, ...besides(figure, OTHER_DISPATCHERS)],
  open: async (place, { seconds }) => ({
    contenders: dispatchers(place, ALL_DISPATCHERS),
    sample: (contender) =>
      takeSample(contender, {
        program: "load-raw",
        words: { mode: "pairs", name: HOSTNAME, connections: 64, seconds },
      }),
  }),
};
