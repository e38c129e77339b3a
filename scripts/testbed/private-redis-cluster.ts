import { setTimeout as delay } from "node:timers/promises";
import { Redis } from "ioredis";
import { freePorts } from "./free-ports.ts";
import { startPrivateRedis, type PrivateRedis } from "./private-redis.ts";

const SLOTS = 16_384;
/** From the first MEET to a cluster that every server calls whole: a few gossip rounds of a tenth of a second each. */
const READY_TIMEOUT_MS = 20_000;

/** A real Redis Cluster of three masters that belongs to the caller alone. */
export interface PrivateRedisCluster {
  /** Host and port of each server. */
  readonly nodes: readonly { readonly host: string; readonly port: number }[];
  /** Every key of every server. */
  keys(): Promise<string[]>;
  stop(): Promise<void>;
}

/** Starts three servers on loopback ports and divides the slots among them. */
export async function startPrivateRedisCluster(): Promise<PrivateRedisCluster> {
  const ports = await freePorts(6);
  const servers: PrivateRedis[] = [];
  const clients: Redis[] = [];
  const stop = async (): Promise<void> => {
    for (const client of clients) client.disconnect();
    await Promise.all(servers.map((server) => server.stop()));
  };
  try {
    for (let node = 0; node < 3; node++) {
      const args = ["--port", String(ports[node]), "--bind", "127.0.0.1", "--cluster-enabled", "yes"];
      const server = await startPrivateRedis({ args: [...args, "--cluster-port", String(ports[node + 3])] });
      servers.push(server);
      clients.push(new Redis({ path: server.socketPath }));
    }
    await join(clients, ports);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    nodes: ports.slice(0, 3).map((port) => ({ host: "127.0.0.1", port })),
    keys: async () => (await Promise.all(clients.map((client) => client.keys("*")))).flat(),
    stop,
  };
}

async function join(clients: readonly Redis[], ports: readonly number[]): Promise<void> {
  const share = Math.ceil(SLOTS / clients.length);
  for (const [node, client] of clients.entries()) {
    const last = Math.min((node + 1) * share, SLOTS) - 1;
    await client.call("CLUSTER", "ADDSLOTSRANGE", String(node * share), String(last));
    await client.call("CLUSTER", "SET-CONFIG-EPOCH", String(node + 1));
    if (node > 0) {
      await client.call("CLUSTER", "MEET", "127.0.0.1", String(ports[0]), String(ports[3]));
    }
  }
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (const client of clients) {
    while (
      !/cluster_state:ok[\s\S]*cluster_known_nodes:3/.test(String(await client.call("CLUSTER", "INFO")))
    ) {
      if (performance.now() > deadline) throw new Error("the cluster did not come together");
      await delay(50);
    }
  }
}
