import type { Case, Figure } from "../case.ts";
import { takeSample } from "../sample.ts";
import { ofNodeAlone, unitsPerCpuSecond } from "./figures.ts";
import { openChains } from "./open-chains.ts";

function handshakes(kind: "full" | "resumed"): Case {
  const figure: Figure = {
    id: `handshakes-${kind}`,
    work: `chain: new TLS connections per CPU second, ${kind === "full" ? "full handshake" : "resumed"}`,
    unit: "1/CPU s",
    better: "higher",
    reach: 0.7,
    ...(kind === "full" ? { prototype: "0.52x" } : {}),
    subject: "gatehouse",
    peer: "haproxy",
    value: unitsPerCpuSecond,
  };
  return {
    name: `handshakes-${kind}`,
    title: `TLS connections, ${kind === "full" ? "full handshake" : "resumed"}`,
    note:
      kind === "full"
        ? "TLS 1.3, P-256, one request without token on each connection, 16 at once."
        : "The client shows the same ticket again. Node gives no new one when a ticket was used (HAProxy does), so clients that use each once get two resumptions per full handshake.",
    figures: [figure, ...ofNodeAlone([figure])],
    open: async (place, { seconds }) => {
      const { contenders, words } = await openChains(place);
      const resume = kind === "resumed" ? 1 : 0;
      return {
        contenders,
        sample: async (contender) => {
          const load = { ...words, mode: "handshakes", path: "/hello", connections: 16, seconds, resume };
          const sample = await takeSample(contender, { program: "load-tls", words: load });
          const { resumed = 0, units } = sample;
          // The first of each of the 16 has nothing to resume.
          if (resume === 1 && resumed < (units - 16) * 0.95)
            throw new Error(`only ${resumed} of ${units} handshakes were resumed`);
          return sample;
        },
      };
    },
  };
}

export const fullHandshakes: Case = handshakes("full");
export const resumedHandshakes: Case = handshakes("resumed");
