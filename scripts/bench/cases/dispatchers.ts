import type { Case } from "../case.ts";
import type { ContenderStart } from "../contender.ts";
import { startDispatcher } from "../gatehouse.ts";
import { BARE_NODE, BARE_NODE_HANDLE, startBareDispatcher } from "../peers/bare-chain.ts";
import { startHaproxyDispatcher } from "../peers/haproxy.ts";
import { startNginx } from "../peers/nginx.ts";
import { startSniproxy } from "../peers/sniproxy.ts";
import type { LoadWords } from "../load-run.ts";
import type { BenchOptions } from "../options.ts";
import { HOSTNAME, LOOPBACK, type Place } from "../place.ts";
import { takeSample } from "../sample.ts";

/** Those that read the server name and end no TLS. Gatehouse reaches its instances by unix socket, so its target here is one, too. */
export function dispatchers(place: Place, names: readonly string[]): readonly ContenderStart[] {
  const all: readonly ContenderStart[] = [
    {
      name: "haproxy",
      start: () => startHaproxyDispatcher(place, { server: `${LOOPBACK}:${place.sink.port}` }),
    },
    { name: "gatehouse", start: () => startDispatcher(place, { route: `unix:${place.sink.path}` }) },
    {
      name: "haproxy-unix",
      start: () => startHaproxyDispatcher(place, { name: "haproxy-unix", server: `unix@${place.sink.path}` }),
    },
    { name: BARE_NODE, start: () => startBareDispatcher(place, place.sink.path) },
    {
      name: BARE_NODE_HANDLE,
      start: () => startBareDispatcher(place, place.sink.path, BARE_NODE_HANDLE),
    },
    { name: "nginx", start: () => startNginx(place) },
    { name: "sniproxy", start: () => startSniproxy(place) },
  ];
  return all.filter(({ name }) => names.includes(name));
}

export const BARE_NODES: readonly string[] = [BARE_NODE, BARE_NODE_HANDLE];
export const OTHER_DISPATCHERS: readonly string[] = ["haproxy-unix", "nginx", "sniproxy"];

/** Returns how a case is opened in which each of them has the same load of hellos and octets, without TLS. */
export function rawLoad(
  names: readonly string[],
  wordsFor: (options: BenchOptions) => LoadWords,
): Case["open"] {
  return async (place, options) => ({
    contenders: dispatchers(place, names),
    sample: (contender) =>
      takeSample(contender, { program: "load-raw", words: { name: HOSTNAME, ...wordsFor(options) } }),
  });
}
