import type { Case, Figure } from "../case.ts";
import { takeSample } from "../sample.ts";
import { ofNodeAlone } from "./figures.ts";
import { protectedChains } from "./protected-chains.ts";

const TOKENS = 1_000;

function figure(algorithm: "ES256" | "RS256"): Figure {
  return {
    id: `chain-p50-${algorithm.toLowerCase()}`,
    work: `chain, token checked: p50 on one connection, ${algorithm}`,
    unit: "us",
    better: "lower",
    reach: 0.7,
    prototype: "0.8x",
    subject: "gatehouse",
    peer: `haproxy-${algorithm.toLowerCase()}`,
    value: ({ p50 }) => p50,
  };
}

const own: readonly Figure[] = [figure("ES256"), figure("RS256")];

/** One request at a time, against HAProxy as Gatehouse is laid out: one process for names, one for TLS and tokens. */
export const chainLatency: Case = {
  name: "chain-latency",
  title: "Latency of the chain",
  figures: [...own, ...ofNodeAlone(own)],
  open: async (place, { seconds }) => {
    const chains = await protectedChains(place, { count: TOKENS, tiers: 2 });
    return {
      contenders: chains.contenders,
      sample: (contender) => {
        const tokens = chains.tokensOf(contender.name).path;
        const words = { ...chains.words, mode: "requests", connections: 1, seconds: seconds / 2, tokens };
        return takeSample(contender, { program: "load-tls", words });
      },
    };
  },
};
