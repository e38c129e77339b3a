import { execFileSync, type ChildProcess } from "node:child_process";
import { join } from "node:path";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import { freePort } from "../test/support/free-port.ts";
import {
  createMachineNetwork,
  missingForNamespaces,
  type MachineNetwork,
  type NetworkMachine,
} from "../test/support/machine-network.ts";
import { startRelay, type Relay } from "../test/support/relay.ts";
import { HOSTS, OPEN, PROTECTED, type Bed, type Place } from "./bed.ts";
import type { Fault } from "./fault.ts";
import { SECONDS } from "./process-faults.ts";

const INSTANCE_PORTS = { [OPEN]: 13_001, [PROTECTED]: 13_002 };
/** TCP sends again after 0.2 s, then twice as long each time, and a connection is asked for again after 1, 3 and 7 s: beyond all that anybody waits for. */
const LONG_SECONDS = 20;
const LOSS = 0.2;
const DELAY_MS = 300;

/** The dispatcher on one machine, the instances on another, Redis and the upstream on a third: this one. */
interface Machines {
  readonly network: MachineNetwork;
  readonly dispatcher: NetworkMachine;
  readonly instances: NetworkMachine;
}

const machinesOf = new WeakMap<Bed, Machines>();

async function threeMachines(): Promise<Place> {
  const network = createMachineNetwork(2);
  const [dispatcher, instances] = network.machines;
  if (dispatcher === undefined || instances === undefined) throw new Error("two machines were asked for");
  const listen = await freePort();
  const open: { relays: Relay[]; inside: ChildProcess[] } = { relays: [], inside: [] };
  const instance = (host: keyof typeof INSTANCE_PORTS) => ({
    enter: instances.enter,
    env: {
      GATEHOUSE_INSTANCE_LISTEN: `${instances.address}:${INSTANCE_PORTS[host]}`,
      GATEHOUSE_PROXY_FROM: dispatcher.address,
    },
  });
  return {
    servesOn: network.address,
    dispatcher: {
      enter: dispatcher.enter,
      env: { GATEHOUSE_DISPATCHER_LISTEN: `${dispatcher.address}:${listen}` },
    },
    instances: { [OPEN]: instance(OPEN), [PROTECTED]: instance(PROTECTED) },
    finish: async (bed) => {
      machinesOf.set(bed, { network, dispatcher, instances });
      const { gatehouse, protectedGatehouse } = bed;
      for (const host of HOSTS)
        await gatehouse.store.set(`route:${host}`, `${instances.address}:${INSTANCE_PORTS[host]}`);
      // Peers find the dispatcher on loopback, and so does the instance the provider.
      const to = { host: dispatcher.address, port: listen };
      open.relays.push(await startRelay("127.0.0.1", to, { port: gatehouse.port }));
      const provider = Number(new URL(protectedGatehouse.github.url).port);
      const outside = await startRelay(network.address, { host: "127.0.0.1", port: provider });
      open.relays.push(outside);
      open.inside.push(relayInside(instances, provider, `${network.address}:${outside.port}`));
    },
    leave: async () => {
      for (const child of open.inside) await endProcess(child, "SIGKILL", 1_000);
      for (const relay of open.relays) await relay.close();
      network.remove();
    },
  };
}

/** Makes something of another machine reachable on a machine's own loopback. */
function relayInside(machine: NetworkMachine, port: number, to: string): ChildProcess {
  const [command = "", ...enter] = machine.enter;
  const main = join(import.meta.dirname, "relay-main.ts");
  return startGuarded(command, [...enter, process.execPath, "--conditions=source", main, String(port), to]);
}

/** A rule of the firewall on one machine, as arguments of iptables behind the chain. */
type Rule = readonly string[];
type Link = (
  machines: Machines,
  bed: Bed,
) => { readonly at: NetworkMachine; readonly peer: readonly string[] }[];

const betweenTiers: Link = ({ dispatcher, instances }) => [{ at: instances, peer: [dispatcher.address] }];
const toRedis: Link = ({ network, dispatcher, instances }, bed) =>
  [dispatcher, instances].map((at) => ({ at, peer: [network.address, String(bed.redisRelay?.port)] }));

/** Puts a rule on both directions of a link, and takes it away again. `cuts`: what is connected is reset on both sides first. */
function rule(link: Link, verdict: Rule, { cuts = false } = {}): Fault["inject"] {
  return async (bed) => {
    const machines = machinesOf.get(bed);
    if (machines === undefined) throw new Error("this bed is on one machine");
    const each = (action: "-A" | "-D"): void => {
      for (const { at, peer } of link(machines, bed)) {
        const [address = "", port] = peer;
        const from = ["-s", address, "-p", "tcp", ...(port === undefined ? [] : ["--sport", port])];
        const to = ["-d", address, "-p", "tcp", ...(port === undefined ? [] : ["--dport", port])];
        iptables(at, [action, "INPUT", ...from, ...verdict]);
        iptables(at, [action, "OUTPUT", ...to, ...verdict]);
      }
    };
    each("-A");
    if (cuts) for (const { at, peer } of link(machines, bed)) cut(at, peer);
    return async () => each("-D");
  };
}

function iptables(at: NetworkMachine, args: readonly string[]): void {
  const [command = "", ...enter] = at.enter;
  execFileSync(command, [...enter, "iptables", "-w", ...args], { stdio: ["ignore", "ignore", "pipe"] });
}

/** Resets every connection to a peer, on both sides. */
function cut(at: NetworkMachine, [address = "", port]: readonly string[]): void {
  const [command = "", ...enter] = at.enter;
  const filter = ["dst", port === undefined ? address : `${address}:${port}`];
  execFileSync(command, [...enter, "ss", "-K", ...filter], { stdio: ["ignore", "ignore", "pipe"] });
}

const lose: Rule = ["-m", "statistic", "--mode", "random", "--probability", String(LOSS), "-j", "DROP"];
const drop: Rule = ["-j", "DROP"];
/** The resets themselves have to get through. */
const reset: Rule = ["!", "--tcp-flags", "RST", "RST", "-j", "REJECT", "--reject-with", "tcp-reset"];

function missing(): string | undefined {
  const reason = missingForNamespaces();
  if (reason !== undefined) return reason;
  try {
    execFileSync("iptables", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "no iptables here";
  }
}

/** With the store away nobody who is known notices. */
const SPARED = ["new connections", "kept connections", "streams"] as const;

/** The network between the tiers: lossy, slow, hostile, gone. */
export const networkFaults: readonly Fault[] = [
  {
    name: "tiers-loss",
    title: "dispatcher – instances: 20 % of the packets lost",
    seconds: SECONDS,
    touches: [],
    spares: ["streams"],
    missing,
    place: threeMachines,
    inject: rule(betweenTiers, lose),
  },
  {
    name: "tiers-delay",
    title: `dispatcher – instances: ${DELAY_MS} ms late each way, by a relay`,
    seconds: SECONDS,
    touches: [],
    spares: ["kept connections", "streams"],
    place: async () => ({ isRelayed: true }),
    inject: async ({ relays }) => {
      for (const relay of relays) relay.delayMs = DELAY_MS;
      return async () => {
        for (const relay of relays) relay.delayMs = 0;
      };
    },
  },
  {
    name: "tiers-reset",
    title: "dispatcher – instances: every connection reset",
    seconds: SECONDS,
    touches: HOSTS,
    spares: [],
    missing,
    place: threeMachines,
    inject: rule(betweenTiers, reset, { cuts: true }),
  },
  {
    name: "tiers-partition",
    title: "dispatcher – instances: cut off",
    seconds: SECONDS,
    touches: [],
    spares: ["streams"],
    missing,
    place: threeMachines,
    inject: rule(betweenTiers, drop),
  },
  {
    name: "tiers-partition-long",
    title: "dispatcher – instances: cut off for long",
    seconds: LONG_SECONDS,
    touches: [],
    spares: ["streams"],
    isOutlastedByTcp: true,
    missing,
    place: threeMachines,
    inject: rule(betweenTiers, drop),
  },
  {
    name: "redis-loss",
    title: "both tiers – Redis: 20 % of the packets lost",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    missing,
    place: threeMachines,
    inject: rule(toRedis, lose),
  },
  {
    name: "redis-reset",
    title: "both tiers – Redis: every connection reset",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    missing,
    place: threeMachines,
    inject: rule(toRedis, reset, { cuts: true }),
  },
  {
    name: "redis-partition",
    title: "both tiers – Redis: cut off",
    seconds: SECONDS,
    touches: [],
    spares: SPARED,
    missing,
    place: threeMachines,
    inject: rule(toRedis, drop),
  },
  {
    name: "redis-partition-long",
    title: "both tiers – Redis: cut off for long",
    seconds: LONG_SECONDS,
    touches: [],
    spares: SPARED,
    missing,
    place: threeMachines,
    inject: rule(toRedis, drop),
  },
];
