import type { ContenderStart } from "../contender.ts";
import { startChain } from "../gatehouse.ts";
import { BARE_NODE, startBareChain } from "../peers/bare-chain.ts";
import { startHaproxyTls } from "../peers/haproxy.ts";
import { HOSTNAME, type Place } from "../place.ts";
import { makeTokens, type TokenAlgorithm, type TokenFile } from "../tokens.ts";

/** Chains that check a token on every request, and the tokens for each. */
export interface ProtectedChains {
  readonly contenders: readonly ContenderStart[];
  readonly tokensOf: (contender: string) => TokenFile;
  /** Words for load-tls that are the same for all. */
  readonly words: { readonly name: string; readonly host: string; readonly path: string };
}

const HAPROXY: readonly (readonly [name: string, algorithm: TokenAlgorithm])[] = [
  ["haproxy-es256", "ES256"],
  ["haproxy-rs256", "RS256"],
];

/** Gatehouse's tokens are RS256: it issues and takes no others. HAProxy gets those very tokens, and ES256 ones. */
export async function protectedChains(
  place: Place,
  { count, tiers }: { readonly count: number; readonly tiers: 1 | 2 },
): Promise<ProtectedChains> {
  const port = await place.port();
  const files = {
    RS256: await makeTokens(place, { algorithm: "RS256", count, port }),
    ES256: await makeTokens(place, { algorithm: "ES256", count, port }),
  };
  const peers = HAPROXY.map(([name, algorithm]) => ({
    name,
    start: () => startHaproxyTls(place, { name, tiers, tokens: files[algorithm] }),
  }));
  return {
    contenders: [
      ...peers,
      { name: "gatehouse", start: () => startChain(place, { isProtected: true, port }) },
      { name: BARE_NODE, start: () => startBareChain(place, files.RS256) },
    ],
    tokensOf: (contender) => files[contender === "haproxy-es256" ? "ES256" : "RS256"],
    words: { name: HOSTNAME, host: `${HOSTNAME}:${port}`, path: "/mcp" },
  };
}
