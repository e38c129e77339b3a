import { HOSTS, OPEN, PROTECTED, type Bed } from "./bed.ts";
import { NOTHING_TO_END, type Fault } from "./fault.ts";

/** Long enough to fall into every clock of ours but the longest, short enough to be sat through two dozen times. */
export const SECONDS = 4;

type Part = (bed: Bed) => { readonly pid: number };
const dispatcher: Part = (bed) => bed.gatehouse.dispatcher;
const instance: Part = (bed) => bed.gatehouse.instance(PROTECTED);
const upstream: Part = (bed) => bed.upstream;

/** Over at once: what follows is the restart. */
function kill(part: Part): Fault["inject"] {
  return async (bed) => {
    process.kill(part(bed).pid, "SIGKILL");
    return NOTHING_TO_END;
  };
}

function freeze(part: Part): Fault["inject"] {
  return async (bed) => {
    const { pid } = part(bed);
    process.kill(pid, "SIGSTOP");
    return async () => void process.kill(pid, "SIGCONT");
  };
}

/** Processes of Gatehouse and its upstream, killed and frozen. */
export const processFaults: readonly Fault[] = [
  {
    name: "dispatcher-kill",
    title: "dispatcher: kill -9",
    seconds: 0,
    touches: HOSTS,
    spares: [],
    restarts: ["dispatcher"],
    inject: kill(dispatcher),
  },
  {
    name: "dispatcher-stop",
    title: "dispatcher: frozen",
    seconds: SECONDS,
    touches: [],
    spares: ["streams"],
    inject: freeze(dispatcher),
  },
  {
    name: "instance-kill",
    title: "instance of the protected host: kill -9",
    seconds: 0,
    touches: [PROTECTED],
    spares: ["new connections", "operator"],
    restarts: [PROTECTED],
    inject: kill(instance),
  },
  {
    name: "instance-stop",
    title: "instance of the protected host: frozen",
    seconds: SECONDS,
    touches: [],
    spares: ["new connections", "operator", "streams"],
    inject: freeze(instance),
  },
  {
    name: "upstream-kill",
    title: "upstream: kill -9",
    seconds: 0,
    touches: [OPEN, PROTECTED],
    spares: ["logins", "registrations", "refreshes"],
    restarts: ["upstream"],
    inject: kill(upstream),
  },
  {
    name: "upstream-stop",
    title: "upstream: frozen",
    seconds: SECONDS,
    touches: [],
    spares: ["logins", "registrations", "refreshes", "streams"],
    inject: freeze(upstream),
  },
];
