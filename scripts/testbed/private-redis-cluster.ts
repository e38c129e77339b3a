import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { freePorts } from "./free-ports.ts";
import { startPrivateRedis, type PrivateRedis } from "./private-redis.ts";

const SLOTS = 16_384;
const MASTERS = 3;
const LOOPBACK = "127.0.0.1";
/** From the first MEET to a cluster that every server calls whole: a few gossip rounds of a tenth of a second each. */
const READY_TIMEOUT_MS = 20_000;
/** How long a server may be silent before the others call it down. */
const NODE_TIMEOUT_MS = 1_500;

export interface PrivateRedisClusterOptions {
  /** How many of the masters have a replica; the first ones do. Default none. */
  readonly replicas?: number;
  /** What the servers show to clients and to each other, over TLS. */
  readonly tls?: { readonly certPath: string; readonly keyPath: string; readonly caPath: string };
}

/** A real Redis Cluster of three masters that belongs to the caller alone. */
export interface PrivateRedisCluster {
  /** `redis+cluster://…`, or `rediss+cluster://…`. */
  readonly url: string;
  /** Host and port of each master as it began. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  /** Each server's process; masters first, then replicas in the order of theirs. */
  readonly servers: readonly PrivateRedis[];
  /** A connection to each of them, as an operator has one, over its unix socket. */
  readonly operators: readonly Redis[];
  /** Every key of every master that runs. */
  keys(): Promise<string[]>;
  /** Ends a master as a crash would; resolves when its replica has taken its slots and every server that is left knows. */
  failOver(master: number): Promise<void>;
  /** Moves a slot, with its keys, from one master to another, as `redis-cli --cluster reshard` does. */
  moveSlot(slot: number, from: number, to: number): Promise<void>;
  stop(): Promise<void>;
}

/** Starts the servers on loopback ports and divides the slots among the masters. */
export async function startPrivateRedisCluster(
  options: PrivateRedisClusterOptions = {},
): Promise<PrivateRedisCluster> {
  const bed = new ClusterBed(options, await freePorts(2 * (MASTERS + (options.replicas ?? 0))));
  try {
    await bed.start();
    return bed;
  } catch (error) {
    await bed.stop();
    throw error;
  }
}

class ClusterBed implements PrivateRedisCluster {
  readonly url: string;
  readonly servers: PrivateRedis[] = [];
  readonly operators: Redis[] = [];
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  readonly #tls: PrivateRedisClusterOptions["tls"];
  readonly #ports: readonly number[];
  readonly #busPorts: readonly number[];
  readonly #down = new Set<number>();

  constructor({ tls }: PrivateRedisClusterOptions, ports: readonly number[]) {
    this.#tls = tls;
    this.#ports = ports.slice(0, ports.length / 2);
    this.#busPorts = ports.slice(ports.length / 2);
    this.nodes = this.#ports.slice(0, MASTERS).map((port) => ({ host: LOOPBACK, port }));
    const hosts = this.nodes.map(({ host, port }) => `${host}:${port}`).join(",");
    this.url = `${tls === undefined ? "redis" : "rediss"}+cluster://${hosts}`;
  }

  async start(): Promise<void> {
    for (const [node, port] of this.#ports.entries()) {
      const server = await startPrivateRedis({ args: this.#argsOf(node, port) });
      this.servers.push(server);
      const operator = new Redis({ path: server.socketPath });
      operator.on("error", () => undefined); // one that was killed
      this.operators.push(operator);
    }
    await this.#join();
    for (let node = MASTERS; node < this.operators.length; node++) {
      const master = String(await this.#operator(node - MASTERS).call("CLUSTER", "MYID"));
      await this.#until(async () => {
        await this.#operator(node).call("CLUSTER", "REPLICATE", master);
        return true;
      });
      await this.#until(async () =>
        /master_link_status:up/.test(await this.#operator(node).info("replication")),
      );
    }
    await this.#whole();
  }

  async keys(): Promise<string[]> {
    const found = await Promise.all(
      this.#running().map(async (operator) =>
        (await operator.info("replication")).includes("role:master") ? await operator.keys("*") : [],
      ),
    );
    return found.flat();
  }

  async failOver(master: number): Promise<void> {
    this.#down.add(master);
    await this.servers[master]?.kill("SIGKILL");
    const replica = this.#operator(MASTERS + master);
    await this.#until(async () => (await replica.info("replication")).includes("role:master"));
    await this.#whole();
  }

  async moveSlot(slot: number, from: number, to: number): Promise<void> {
    const [source, target] = [this.#operator(from), this.#operator(to)];
    const ids = await Promise.all(
      [source, target].map(async (operator) => String(await operator.call("CLUSTER", "MYID"))),
    );
    const [sourceId = "", targetId = ""] = ids;
    await target.call("CLUSTER", "SETSLOT", String(slot), "IMPORTING", sourceId);
    await source.call("CLUSTER", "SETSLOT", String(slot), "MIGRATING", targetId);
    const keys = (await source.call("CLUSTER", "GETKEYSINSLOT", String(slot), "1000")) as string[];
    const [host, port] = [LOOPBACK, String(this.#ports[to])];
    if (keys.length > 0) await source.call("MIGRATE", host, port, "", "0", "5000", "KEYS", ...keys);
    for (const operator of [target, source, ...this.#running()]) {
      await operator.call("CLUSTER", "SETSLOT", String(slot), "NODE", targetId).catch(() => undefined); // replicas may not
    }
  }

  async stop(): Promise<void> {
    for (const operator of this.operators) operator.disconnect();
    await Promise.all(this.servers.map((server) => server.stop()));
  }

  #argsOf(node: number, port: number): string[] {
    const replication = ["--bind", LOOPBACK, "--repl-diskless-sync-delay", "0"];
    const membership = ["--cluster-enabled", "yes", "--cluster-node-timeout", String(NODE_TIMEOUT_MS)];
    const bus = ["--cluster-port", String(this.#busPorts[node])];
    return [...this.#listenArgs(port), ...replication, ...membership, ...bus];
  }

  #listenArgs(port: number): string[] {
    if (this.#tls === undefined) return ["--port", String(port)];
    const { certPath, keyPath, caPath } = this.#tls;
    const files = ["--tls-cert-file", certPath, "--tls-key-file", keyPath, "--tls-ca-cert-file", caPath];
    const modes = ["--tls-auth-clients", "no", "--tls-cluster", "yes", "--tls-replication", "yes"];
    return ["--tls-port", String(port), ...files, ...modes];
  }

  async #join(): Promise<void> {
    const share = Math.ceil(SLOTS / MASTERS);
    for (const [node, operator] of this.operators.entries()) {
      if (node < MASTERS) {
        const last = Math.min((node + 1) * share, SLOTS) - 1;
        await operator.call("CLUSTER", "ADDSLOTSRANGE", String(node * share), String(last));
        await operator.call("CLUSTER", "SET-CONFIG-EPOCH", String(node + 1));
      }
      if (node === 0) continue;
      await operator.call("CLUSTER", "MEET", LOOPBACK, String(this.#ports[0]), String(this.#busPorts[0]));
    }
    await this.#whole();
  }

  /** Every server that runs knows all others, and somebody who serves each slot. */
  async #whole(): Promise<void> {
    const known = new RegExp(`cluster_state:ok[^]*cluster_known_nodes:${this.operators.length}`);
    for (const operator of this.#running()) {
      await this.#until(async () => {
        const info = String(await operator.call("CLUSTER", "INFO"));
        const owners = (await operator.call("CLUSTER", "SLOTS")) as [number, number, [string, number]][];
        const down = [...this.#down].map((node) => this.#ports[node]);
        return known.test(info) && !owners.some(([, , [, port]]) => down.includes(port));
      });
    }
  }

  #running(): Redis[] {
    return this.operators.filter((_, node) => !this.#down.has(node));
  }

  #operator(node: number): Redis {
    const operator = this.operators[node];
    if (operator === undefined) throw new Error(`the cluster has no server ${node}`);
    return operator;
  }

  async #until(holds: () => Promise<boolean>): Promise<void> {
    const deadline = performance.now() + READY_TIMEOUT_MS;
    while (!(await holds().catch(() => false))) {
      if (performance.now() > deadline) throw new Error("the cluster did not come together");
      await delay(20);
    }
  }
}
