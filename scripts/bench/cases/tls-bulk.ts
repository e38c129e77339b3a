import type { Case, Figure } from "../case.ts";
import { takeSample } from "../sample.ts";
import { cpuPerGib, ofNodeAlone } from "./figures.ts";
import { openChains } from "./open-chains.ts";

const MIB = 1024 ** 2;
const CONNECTIONS = 4;

function bulk(direction: "download" | "upload"): Case {
  const figure: Figure = {
    id: `tls-${direction}`,
    work: `chain: CPU per GiB over TLS, ${direction}`,
    unit: "s/GiB",
    better: "lower",
    reach: 2,
    prototype: "4x",
    subject: "gatehouse",
    peer: "haproxy",
    value: cpuPerGib,
  };
  return {
    name: `tls-${direction}`,
    title: `Octets over TLS, ${direction}`,
    figures: [figure, ...ofNodeAlone([figure])],
    open: async (place, { isQuick }) => {
      const { contenders, words } = await openChains(place);
      const octets = (isQuick ? 48 : 128) * MIB;
      const path = direction === "download" ? `/bytes/${octets}` : "/upload";
      return {
        contenders,
        sample: (contender) => {
          const load = { ...words, mode: direction, path, connections: CONNECTIONS, octets };
          return takeSample(contender, { program: "load-tls", words: load });
        },
      };
    },
  };
}

export const tlsDownload: Case = bulk("download");
export const tlsUpload: Case = bulk("upload");
