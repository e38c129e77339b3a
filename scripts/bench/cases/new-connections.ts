import type { Case, Figure } from "../case.ts";
import { BARE_NODE } from "../peers/bare-chain.ts";
import { OTHER_DISPATCHERS, rawLoad } from "./dispatchers.ts";
import { besides, cpuPerUnit, ofNodeAlone } from "./figures.ts";

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
  figures: [figure, ...ofNodeAlone([figure]), ...besides(figure, OTHER_DISPATCHERS)],
  open: rawLoad(["haproxy", "gatehouse", BARE_NODE, ...OTHER_DISPATCHERS], ({ seconds }) => ({
    mode: "connect",
    connections: 16,
    seconds,
  })),
};
