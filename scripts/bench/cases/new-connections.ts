import type { Case, Figure } from "../case.ts";
import { HOSTNAME } from "../place.ts";
import { takeSample } from "../sample.ts";
import { ALL_DISPATCHERS, dispatchers, OTHER_DISPATCHERS } from "./dispatchers.ts";
import { besides, cpuPerUnit } from "./figures.ts";

const figure: Figure = {
  id: "new-connections",
  work: "dispatcher: CPU per new connection",
  unit: "us",
  better: "lower",
  reach: 1.2,
  prototype: "1.5x",
  subject: "gatehouse",
  peer: "haproxy",
  value: cpuPerUnit,
};

/** Connect, ClientHello, the first octet of the answer, close; 16 at once. */
export const newConnections: Case = {
  name: "new-connections",
  title: "New connections",
  figures: [figure, ...besides(figure, OTHER_DISPATCHERS)],
  open: async (place, { seconds }) => ({
    contenders: dispatchers(place, ALL_DISPATCHERS),
    sample: (contender) =>
      takeSample(contender, {
        program: "load-raw",
        words: { mode: "connect", name: HOSTNAME, connections: 16, seconds },
      }),
  }),
};
