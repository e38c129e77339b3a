// What an operator types in a machine, from a hostname that is not there to one that is not there any more.
import { check, faultless } from "./evidence.ts";
import type { Machine } from "./machine.ts";
import { ADDED, STORED, UPSTREAM_PORT } from "./site.ts";
import { ask, EventStream, Load, type Peer } from "./traffic.ts";

/** As the installer put it on PATH; no variable says where Redis is or what the secret key is. */
const GATEHOUSE = "/usr/local/bin/gatehouse";
const SOME_REQUESTS = 300;
const SOME_EVENTS = 5;

/** Streams that {@link hostRestarted} leaves open, in two generations, for {@link hostRemoved} to see the end of. */
const open: EventStream[] = [];

/** From one command to an answer of the upstream behind a certificate that verifies. */
export async function hostAdded(machine: Machine, ca: string): Promise<string> {
  const peer: Peer = { hostname: ADDED, ca };
  check(await isRefused(peer), "it is there before it is added");
  await machine.must(GATEHOUSE, "host", "add", ADDED, "--target", `http://127.0.0.1:${UPSTREAM_PORT}`);
  const pair = ["--chain", `/${STORED}/${ADDED}.pem`, "--key", `/${STORED}/${ADDED}.key`];
  await machine.must(GATEHOUSE, "cert", "import", ADDED, ...pair);
  await machine.until("the upstream answers", async () => {
    const failed = await ask(peer).catch((error: unknown) => error);
    check(failed === undefined || isUntrusted(failed), String(failed));
    return failed === undefined;
  });
  const listed = await machine.must(GATEHOUSE, "host", "list", "--json");
  check(listed.includes(ADDED), `host list: ${listed}`);
  return "refused by alert 112 before; host add, cert import, and the upstream answers; no environment needed";
}

export async function hostRestarted(machine: Machine, ca: string): Promise<string> {
  const peer: Peer = { hostname: ADDED, ca };
  const before = new EventStream(peer);
  await before.more(SOME_EVENTS);
  const load = new Load(peer);
  await load.more(SOME_REQUESTS);
  await machine.must(GATEHOUSE, "host", "restart", ADDED);
  await load.more(SOME_REQUESTS);
  const result = faultless(await load.stop());
  await before.more(SOME_EVENTS);
  check(before.gaps === 0, `the stream lost ${before.gaps} events`);
  const after = new EventStream(peer);
  await after.more(SOME_EVENTS);
  open.push(before, after);
  return `${result}; the stream from before goes on (${before.events} events, no gap)`;
}

/** No route, no streams, no units. */
export async function hostRemoved(machine: Machine, ca: string): Promise<string> {
  const since = performance.now();
  const removing = machine.must(GATEHOUSE, "host", "remove", ADDED, "--yes");
  await machine.until("it is refused", () => isRefused({ hostname: ADDED, ca }));
  const refusedMs = Math.round(performance.now() - since);
  await machine.until("its streams end", async () => open.every(({ end }) => end !== undefined));
  const endedMs = Math.round(performance.now() - since);
  await removing;
  const left = await machine.must("systemctl", "list-units", "--all", "--plain", "--no-legend", `*${ADDED}*`);
  check(left === "", `units are left: ${left}`);
  check(await isRefused({ hostname: ADDED, ca }), "it answers again");
  const ends = open.map(({ end }) => end).join(", ");
  return `refused ${refusedMs} ms and ${open.length} streams over (${ends}) ${endedMs} ms after it was typed; no unit left`;
}

/** True when a dispatcher says that it knows no such name (alert 112), false when the instance answers, be it that it has no config (404). @throws anything else */
async function isRefused(peer: Peer): Promise<boolean> {
  const message = await ask(peer).then(
    () => undefined,
    (error: unknown) => String(error),
  );
  if (message === undefined || message.includes("status 404")) return false;
  check(message.includes("unrecognized name"), message);
  return true;
}

/** The stand-in, which serves until the certificate that was imported is read. */
function isUntrusted(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "DEPTH_ZERO_SELF_SIGNED_CERT";
}
