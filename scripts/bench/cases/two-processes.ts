import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import type { Case, Figure } from "../case.ts";
import type { Contender } from "../contender.ts";
import { startDispatcher } from "../gatehouse.ts";
import { BARE_NODE, startBarePair } from "../peers/bare-chain.ts";
import { startHaproxyDispatcher } from "../peers/haproxy.ts";
import { HOSTNAME, LOOPBACK, type Place } from "../place.ts";
import { takeSample } from "../sample.ts";
import { ofNodeAlone } from "./figures.ts";

const BACKLOG = 4096;

interface SharedListener {
  readonly descriptor: number;
  readonly port: number;
}

/** The supervisor's part: one listening socket, which this process never accepts from. */
async function onOneListener(
  place: Place,
  start: (shared: SharedListener) => Promise<Contender>,
): Promise<Contender> {
  const port = await place.port();
  const listener = createServer().listen({ host: LOOPBACK, port, backlog: BACKLOG });
  await once(listener, "listening");
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
  try {
    return await start({ descriptor: fd, port: (listener.address() as AddressInfo).port });
  } finally {
    listener.close();
  }
}

async function startPair(place: Place): Promise<Contender> {
  return await onOneListener(place, async (shared) => {
    const route = `unix:${place.sink.path}`;
    return await startDispatcher(place, { route, core: undefined, shared: { ...shared, processes: 2 } });
  });
}

const figure: Figure = {
  id: "two-processes",
  work: "dispatcher, two processes on one inherited descriptor: new connections per second",
  unit: "1/s",
  better: "higher",
  reach: 0.9,
  prototype: "0.78x",
  subject: "gatehouse",
  peer: "haproxy",
  value: ({ units, seconds }) => units / seconds,
};

/** Two dispatchers on one inherited descriptor. Nothing is pinned: load and contender share the machine's cores. */
export const twoProcesses: Case = {
  name: "two-processes",
  title: "Two dispatchers",
  note: "Nothing is pinned here: contender, load generator and sink share all cores, so the rate is that of the whole.",
  figures: [figure, ...ofNodeAlone([figure])],
  open: async (place, { seconds }) => ({
    contenders: [
      {
        name: "haproxy",
        start: () =>
          startHaproxyDispatcher(place, {
            server: `${LOOPBACK}:${place.sink.port}`,
            threads: 2,
            core: undefined,
          }),
      },
      { name: "gatehouse", start: () => startPair(place) },
      {
        name: BARE_NODE,
        start: () => onOneListener(place, (shared) => startBarePair(place, place.sink.path, shared)),
      },
    ],
    sample: (contender) =>
      takeSample(contender, {
        program: "load-raw",
        words: { mode: "connect", name: HOSTNAME, connections: 32, seconds },
        isPinned: false,
      }),
  }),
};
