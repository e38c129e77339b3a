import type { Case, Figure } from "../case.ts";
import { BARE_NODES, rawLoad } from "./dispatchers.ts";
import { besides, cpuPerUnit, ofNodeAlone } from "./figures.ts";

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
  figures: [figure, ...ofNodeAlone([figure], BARE_NODES), ...besides(figure, ["haproxy-unix"])],
  open: rawLoad(["haproxy", "gatehouse", ...BARE_NODES, "haproxy-unix"], ({ seconds }) => ({
    mode: "pairs",
    connections: 64,
    seconds,
  })),
};
