import type { ContenderStart } from "../contender.ts";
import { startChain } from "../gatehouse.ts";
import { BARE_NODE, startBareChain } from "../peers/bare-chain.ts";
import { startHaproxyTls } from "../peers/haproxy.ts";
import { HOSTNAME, type Place } from "../place.ts";

/** Chains that end TLS and look at no token, and the words for load-tls that are the same for both. */
export async function openChains(
  place: Place,
): Promise<{ contenders: readonly ContenderStart[]; words: { name: string; host: string } }> {
  const port = await place.port();
  return {
    contenders: [
      { name: "haproxy", start: () => startHaproxyTls(place, { name: "haproxy", tiers: 1 }) },
      { name: "gatehouse", start: () => startChain(place, { isProtected: false, port }) },
      { name: BARE_NODE, start: () => startBareChain(place) },
    ],
    words: { name: HOSTNAME, host: `${HOSTNAME}:${port}` },
  };
}
