import { execFileSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { join } from "node:path";
import { freePort } from "@gatehouse/testbed/free-ports";
import { endProcess, startGuarded } from "@gatehouse/testbed/guarded-process";
import {
  createMachineNetwork,
  missingForNamespaces,
  type NetworkMachine,
} from "../test/support/machine-network.ts";
import { startRelay, type Relay } from "../test/support/relay.ts";
import { until } from "@gatehouse/testbed/until";
import { HOSTS, OPEN, PROTECTED, type Bed, type Place } from "./bed.ts";
import type { Fault } from "./fault.ts";
import { SECONDS } from "./process-faults.ts";

const INSTANCE_PORTS = { [OPEN]: 13_001, [PROTECTED]: 13_002 };
/** TCP sends again after 0.2 s, then twice as long each time, and a connection is asked for again after 1, 3 and 7 s: beyond all that anybody waits for. */
const LONG_SECONDS = 20;
const LOSS = 0.2;
const REDIS_PORT = 6379;
const DELAY_MS = 300;

/** The dispatcher, the instances and Redis on machines of their own, the upstream and the provider on this one. */
interface Machines {
  readonly dispatcher: NetworkMachine;
  readonly instances: NetworkMachine;
  readonly redis: NetworkMachine;
}

const machinesOf = new WeakMap<Bed, Machines>();

async function threeMachines(): Promise<Place> {
  const network = createMachineNetwork(3);
  const [dispatcher, instances, redis] = network.machines;
  if (dispatcher === undefined || instances === undefined || redis === undefined)
    throw new Error("three machines were asked for");
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
    redisThrough: async (socketPath) => {
      open.inside.push(relayInside(redis, `${redis.address}:${REDIS_PORT}`, socketPath));
      const url = `redis://${redis.address}:${REDIS_PORT}`;
      await until(() => canConnect(redis.address), Boolean);
      return url;
    },
    dispatcher: {
      enter: dispatcher.enter,
      env: { GATEHOUSE_DISPATCHER_LISTEN: `${dispatcher.address}:${listen}` },
    },
    instances: { [OPEN]: instance(OPEN), [PROTECTED]: instance(PROTECTED) },
    finish: async (bed) => {
      machinesOf.set(bed, { dispatcher, instances, redis });
      const { gatehouse, protectedGatehouse } = bed;
      for (const host of HOSTS)
        await gatehouse.store.set(`route:${host}`, `${instances.address}:${INSTANCE_PORTS[host]}`);
      // Peers find the dispatcher on loopback, and so does the instance the provider.
      const to = { host: dispatcher.address, port: listen };
      open.relays.push(await startRelay("127.0.0.1", to, { port: gatehouse.port }));
      const provider = Number(new URL(protectedGatehouse.github.url).port);
      const outside = await startRelay(network.address, { host: "127.0.0.1", port: provider });
      open.relays.push(outside);
      open.inside.push(relayInside(instances, `127.0.0.1:${provider}`, `${network.address}:${outside.port}`));
    },
    leave: async () => {
      for (const child of open.inside) await endProcess(child, "SIGKILL", 1_000);
      for (const relay of open.relays) await relay.close();
      network.remove();
    },
  };
}

/** A relay on a machine: from an address there to one that it reaches, or to a unix socket. */
function relayInside(machine: NetworkMachine, from: string, to: string): ChildProcess {
  const [command = "", ...enter] = machine.enter;
  const main = join(import.meta.dirname, "relay-main.ts");
  return startGuarded(command, [...enter, process.execPath, "--conditions=source", main, from, to]);
}

async function canConnect(address: string): Promise<boolean> {
  const socket = connect(REDIS_PORT, address);
  await once(socket, "connect").finally(() => socket.destroy());
  return true;
}

/** A rule of the firewall, as arguments of iptables behind the packets it is about. */
type Rule = readonly string[];
type Link = (machines: Machines) => readonly (readonly [NetworkMachine, NetworkMachine])[];

const betweenTiers: Link = ({ dispatcher, instances }) => [[dispatcher, instances]];
const toRedis: Link = ({ dispatcher, instances, redis }) => [
  [dispatcher, redis],
  [instances, redis],
];

/**
 * Puts a rule on both directions of a link, where packets arrive, and takes it away again: a packet that is dropped where it leaves is
 * no loss to its sender, who knows and soon sends it again. `cuts`: what is connected is reset on both sides.
 */
function rule(link: Link, verdict: Rule, { cuts = false } = {}): Fault["inject"] {
  return async (bed) => {
    const machines = machinesOf.get(bed);
    if (machines === undefined) throw new Error("this bed is on one machine");
    const directions = link(machines).flatMap(([one, other]) => [
      { at: one, from: other },
      { at: other, from: one },
    ]);
    const each = (action: "-A" | "-D"): void => {
      for (const { at, from } of directions)
        run(at, ["iptables", "-w", action, "INPUT", "-s", from.address, "-p", "tcp", ...verdict]);
    };
    each("-A");
    if (cuts) for (const { at, from } of directions) run(at, ["ss", "-K", "dst", from.address]);
    return async () => each("-D");
  };
}

function run(at: NetworkMachine, program: readonly string[]): void {
  const [command = "", ...enter] = at.enter;
  execFileSync(command, [...enter, ...program], { stdio: ["ignore", "ignore", "pipe"] });
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
