import { execFileSync } from "node:child_process";

/** Addresses that the specification of IPv4 keeps for benchmarks between machines (RFC 2544): nobody's network has them. */
const PREFIX = "198.18.77";

/** Names of interfaces and namespaces hold 15 octets; the pid keeps two tests at once apart. */
const TAG = `gh${process.pid % 100_000}`;

/** A machine of its own, as far as the network is concerned: a namespace with one address, wired to the others by a bridge. */
export interface NetworkMachine {
  readonly address: string;
  /** Put before a command: it then runs on that machine. */
  readonly enter: readonly string[];
  /** From now on nothing arrives from it or gets there, and neither side is told: as when a switch loses power. */
  cutOff(): void;
  reconnect(): void;
}

/** Machines and the bridge between them, which is where this process is. */
export interface MachineNetwork {
  /** This process' own address in it. */
  readonly address: string;
  readonly machines: readonly NetworkMachine[];
  remove(): void;
}

/** Tells what keeps this machine from having network namespaces; undefined when it can. */
export function missingForNamespaces(): string | undefined {
  const name = `${TAG}t`;
  try {
    ip("netns", "add", name);
    ip("netns", "del", name);
    ip("link", "add", name, "type", "bridge");
    ip("link", "del", name);
    execFileSync("bridge", ["link"], { stdio: "ignore" });
    return undefined;
  } catch (error) {
    return `no network namespaces here: ${String(error instanceof Error ? error.message : error).split("\n")[0]}`;
  }
}

/** Makes `count` machines. Needs root. */
export function createMachineNetwork(count: number): MachineNetwork {
  const bridge = `${TAG}b`;
  ip("link", "add", bridge, "type", "bridge");
  const removals = [() => ip("link", "del", bridge)];
  const remove = (): void => {
    for (const each of removals.toReversed()) each();
  };
  try {
    ip("addr", "add", `${PREFIX}.1/24`, "dev", bridge);
    ip("link", "set", bridge, "up");
    const machines = Array.from({ length: count }, (_, index) => {
      const namespace = `${TAG}n${index}`;
      ip("netns", "add", namespace);
      removals.push(() => ip("netns", "del", namespace));
      const machine = wire(bridge, namespace, `${PREFIX}.${index + 2}`);
      // By itself: a namespace lives on, and with it the wire, while another mount namespace has a copy of its name.
      removals.push(() => ip("link", "del", wirePort(namespace)));
      return machine;
    });
    return { address: `${PREFIX}.1`, machines, remove };
  } catch (error) {
    remove();
    throw error;
  }
}

function wire(bridge: string, namespace: string, address: string): NetworkMachine {
  const port = wirePort(namespace);
  ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace);
  ip("link", "set", port, "master", bridge, "up");
  const inside = (...args: string[]): void => ip("-n", namespace, ...args);
  inside("link", "set", "lo", "up");
  inside("addr", "add", `${address}/24`, "dev", "eth0");
  inside("link", "set", "eth0", "up");
  // A disabled port of a bridge drops what comes and what should go, and the wire stays plugged in.
  const setPort = (state: "0" | "3"): void => {
    execFileSync("bridge", ["link", "set", "dev", port, "state", state]);
  };
  return {
    address,
    enter: ["ip", "netns", "exec", namespace],
    cutOff: () => setPort("0"),
    reconnect: () => setPort("3"),
  };
}

/** Our end of the wire. */
function wirePort(namespace: string): string {
  return `${namespace}v`;
}

function ip(...args: string[]): void {
  execFileSync("ip", args, { stdio: ["ignore", "ignore", "pipe"] });
}
