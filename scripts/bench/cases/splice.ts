import type { Case, Figure } from "../case.ts";
import { BARE_NODE } from "../peers/bare-chain.ts";
import { OTHER_DISPATCHERS, rawLoad } from "./dispatchers.ts";
import { besides, cpuPerGib, ofNodeAlone } from "./figures.ts";

const MIB = 1024 ** 2;
const CONNECTIONS = 4;

const figure: Figure = {
  id: "splice",
  work: "dispatcher: CPU per GiB spliced",
  unit: "s/GiB",
  better: "lower",
  reach: 0.75,
  prototype: "0.8x",
  subject: "gatehouse",
  peer: "haproxy",
  value: cpuPerGib,
};

/** Octets from the target to the peer, on four connections at once. `handle` would change nothing: targets are read into one buffer anyway. */
export const splice: Case = {
  name: "splice",
  title: "Splice, download",
  figures: [figure, ...ofNodeAlone([figure]), ...besides(figure, OTHER_DISPATCHERS)],
  open: rawLoad(["haproxy", "gatehouse", BARE_NODE, ...OTHER_DISPATCHERS], ({ isQuick }) => ({
    mode: "download",
    connections: CONNECTIONS,
    octets: (isQuick ? 128 : 384) * MIB,
  })),
};

const upload: Figure = {
  ...figure,
  id: "splice-upload",
  work: "dispatcher: CPU per GiB spliced, from the peer",
};

/** The same the other way. */
export const spliceUpload: Case = {
  name: "splice-upload",
  title: "Splice, upload",
  figures: [upload, ...ofNodeAlone([upload])],
  open: rawLoad(["haproxy", "gatehouse", BARE_NODE], ({ isQuick }) => ({
    mode: "upload",
    connections: CONNECTIONS,
    octets: (isQuick ? 128 : 256) * MIB,
  })),
};
