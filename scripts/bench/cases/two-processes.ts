import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import type { Case } from "../case.ts";
import type { Contender } from "../contender.ts";
import { startDispatcher } from "../gatehouse.ts";
import { startHaproxyDispatcher } from "../peers/haproxy.ts";
import { HOSTNAME, LOOPBACK, type Place } from "../place.ts";
import { takeSample } from "../sample.ts";

const BACKLOG = 4096;

/** The supervisor's part: one listening socket, which this process never accepts from. */
async function startPair(place: Place): Promise<Contender> {
  const port = await place.port();
  const listener = createServer().listen({ host: LOOPBACK, port, backlog: BACKLOG });
  await once(listener, "listening");
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle;
  const shared = { descriptor: fd, port: (listener.address() as AddressInfo).port, processes: 2 };
  try {
    return await startDispatcher(place, { route: `unix:${place.sink.path}`, core: undefined, shared });
  } finally {
    listener.close();
  }
}

/** Two dispatchers on one inherited descriptor. Nothing is pinned: load and contender share the machine's cores. */
export const twoProcesses: Case = {
  name: "two-processes",
  title: "Two dispatchers",
  note: "Nothing is pinned here: contender, load generator and sink share all cores, so the rate is that of the whole.",
  figures: [
    {
      id: "two-processes",
      work: "dispatcher, two processes on one inherited descriptor: new connections per second",
      unit: "1/s",
      better: "higher",
      reach: 0.9,
      prototype: "0.78x",
      subject: "gatehouse",
      peer: "haproxy",
      value: ({ units, seconds }) => units / seconds,
    },
  ],
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
    ],
    sample: (contender) =>
      takeSample(contender, {
        program: "load-raw",
        words: { mode: "connect", name: HOSTNAME, connections: 32, seconds },
        isPinned: false,
      }),
  }),
};
