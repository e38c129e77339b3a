/** Two machines that serve the same hostnames, with one Redis between them: one is cut off, and comes back. */
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { Claude } from "./support/claude.ts";
import { GatehouseProcess } from "./support/gatehouse-process.ts";
import {
  createMachineNetwork,
  missingForNamespaces,
  type MachineNetwork,
  type NetworkMachine,
} from "./support/machine-network.ts";
import { ProtectedGatehouse } from "./support/protected-gatehouse.ts";
import { startRelay, type Relay } from "./support/relay.ts";
import { until } from "@gatehouse/testbed/until";
import { UpstreamProcess } from "./support/upstream-process.ts";

const HOST = "shared.localhost";
const LATER = "later.localhost";
const INSTANCE_PORT = 13_001;
const TIMEOUT_MS = 120_000;
/** From the end of a partition on, without anybody's help. */
const RECOVERY_MS = 5_000;

/** Dispatcher and instance of one machine. */
interface Machine {
  readonly network: NetworkMachine;
  readonly dispatcher: GatehouseProcess;
  readonly instance: GatehouseProcess;
}

let network: MachineNetwork;
let directory: string;
let upstream: UpstreamProcess;
let relays: { readonly redis: Relay; readonly upstream: Relay };
/** Where people log in, and whose Redis and keys the machines share. */
let bed: ProtectedGatehouse;
let machines: readonly Machine[];
let certificate: { readonly certPath: string; readonly keyPath: string };
let good: string;
let revoked: Claude;
let revokedToken: string;

const missing = missingForNamespaces();
const suite = missing === undefined ? describe : describe.skip;
const title = `two machines${missing === undefined ? "" : ` (${missing})`}`;

async function startMachine(place: NetworkMachine, name: string): Promise<Machine> {
  const { gatehouse } = bed;
  const { certPath, keyPath } = certificate;
  const common = {
    REDIS_URL: `redis://${network.address}:${relays.redis.port}`,
    GATEHOUSE_SECRET_KEY: gatehouse.secretKey,
    GATEHOUSE_DISPATCHER_DRAIN_SECONDS: "0",
    GATEHOUSE_INSTANCE_DRAIN_SECONDS: "0",
  };
  const dispatcher = new GatehouseProcess({
    role: `dispatcher ${name}`,
    tier: "dispatcher",
    enter: place.enter,
    env: {
      ...common,
      GATEHOUSE_STATE_DIR: join(directory, name, "dispatcher"),
      GATEHOUSE_DISPATCHER_LISTEN: `${place.address}:${gatehouse.port}`,
    },
  });
  const instance = new GatehouseProcess({
    role: `instance ${name}`,
    tier: "instance",
    enter: place.enter,
    env: {
      ...common,
      ...bed.providerEnv,
      GATEHOUSE_STATE_DIR: join(directory, name, "instance"),
      GATEHOUSE_HOSTNAME: HOST,
      GATEHOUSE_PUBLIC_PORT: String(gatehouse.port),
      GATEHOUSE_INSTANCE_LISTEN: `${place.address}:${INSTANCE_PORT}`,
      GATEHOUSE_PROXY_FROM: `${network.address}/24`,
      GATEHOUSE_CERTIFICATE_FILE: certPath,
      GATEHOUSE_CERTIFICATE_KEY_FILE: keyPath,
    },
  });
  await Promise.all([dispatcher.start(), instance.start()]);
  return { network: place, dispatcher, instance };
}

async function logIn(): Promise<{ claude: Claude; token: string }> {
  const claude = new Claude(bed.fetch, bed.origin(HOST));
  await claude.register();
  const tokens = await claude.authorize((url) => bed.logIn(url, "octocat"));
  return { claude, token: tokens.access_token };
}

/** An open host whose instance is a third machine's. */
async function addLater(): Promise<void> {
  const target = `${network.address}:${INSTANCE_PORT}`;
  await bed.gatehouse.addHost({
    hostname: LATER,
    upstreamUrl: upstream.url,
    env: { GATEHOUSE_INSTANCE_LISTEN: target, GATEHOUSE_PROXY_FROM: `${network.address}/24` },
  });
  await bed.gatehouse.store.set(`route:${LATER}`, target);
}

/** Sends a request to one machine's dispatcher, over a connection of its own. */
async function send(
  { network: { address } }: Pick<Machine, "network">,
  { hostname = HOST, path = "/hello", token }: { hostname?: string; path?: string; token?: string },
): Promise<IncomingMessage> {
  const { port, caPem } = bed.gatehouse;
  const started = request({
    host: address,
    port,
    servername: hostname,
    ca: caPem,
    path,
    agent: false,
    headers: {
      host: `${hostname}:${port}`,
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    },
  });
  started.setTimeout(10_000, () => started.destroy(new Error("no answer in 10 s")));
  started.end();
  const [response] = (await once(started, "response")) as [IncomingMessage];
  started.on("error", () => undefined);
  response.on("error", () => undefined);
  return response;
}

async function visit(machine: Pick<Machine, "network">, asked: Parameters<typeof send>[1]): Promise<number> {
  const response = await send(machine, asked);
  response.resume();
  await once(response, "close");
  return response.statusCode ?? 0;
}

function machine(index: number): Machine {
  const found = machines[index];
  if (found === undefined) throw new Error(`no machine ${index}`);
  return found;
}

suite(title, () => {
  beforeAll(async () => {
    network = createMachineNetwork(2);
    directory = await mkdtemp("/tmp/gatehouse-machines-");
    upstream = await UpstreamProcess.start();
    bed = await ProtectedGatehouse.start([{ hostname: HOST, upstreamUrl: upstream.url }]);
    ({ token: good } = await logIn());
    ({ claude: revoked, token: revokedToken } = await logIn());
    relays = {
      redis: await startRelay(network.address, { path: bed.gatehouse.redis.socketPath }),
      upstream: await startRelay(network.address, {
        host: "127.0.0.1",
        port: Number(new URL(upstream.url).port),
      }),
    };
    const upstreamUrl = `http://${network.address}:${relays.upstream.port}`;
    await bed.configure({ hostname: HOST, upstreamUrl });
    certificate = await bed.gatehouse.authority.issue([HOST]);
    const names = ["a", "b"] as const;
    machines = await Promise.all(
      network.machines.map((place, index) => startMachine(place, names[index] ?? "")),
    );
    const targets = network.machines.map(({ address }) => `${address}:${INSTANCE_PORT}`);
    await bed.gatehouse.store.set(`route:${HOST}`, targets.join(","));
  }, TIMEOUT_MS);

  afterAll(async () => {
    for (const { network: place } of machines ?? []) place.reconnect();
    await Promise.all((machines ?? []).flatMap((each) => [each.dispatcher.stop(), each.instance.stop()]));
    await bed?.stop();
    await relays?.redis.close();
    await relays?.upstream.close();
    await upstream?.kill();
    network?.remove();
    if (directory !== undefined) await rm(directory, { recursive: true, force: true });
  }, TIMEOUT_MS);

  test("either dispatcher serves the hostname, from the instances of both, with the same tokens", async () => {
    for (const each of machines) {
      await until(
        () => visit(each, { token: good }),
        (status) => status === 200,
      );
      expect(await visit(each, {})).toBe(401);
    }
    // Held open, so that the fewest connections are on either side in turn.
    const streams = await Promise.all(
      [0, 1, 0, 1].map((index) =>
        send(machine(index), { path: "/stream?name=spread&interval_ms=1000", token: good }),
      ),
    );
    expect(streams.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 200]);
    expect(new Set(relays.upstream.peers)).toEqual(new Set(network.machines.map(({ address }) => address)));
    for (const stream of streams) stream.destroy();
  });

  test(
    "one machine is cut off: the other serves on, and what it misses is in force as soon as it is back",
    async () => {
      const [left, cut] = [machine(0), machine(1)];
      const pids = machines.flatMap(({ dispatcher, instance }) => [dispatcher.pid, instance.pid]);
      const over = new AbortController();
      const statuses: (number | string)[] = [];
      const traffic = (async () => {
        while (!over.signal.aborted) {
          statuses.push(await visit(left, { token: good }).catch(String));
        }
      })();
      await until(
        () => statuses.length,
        (count) => count > 20,
      );

      cut.network.cutOff();
      const atCut = statuses.length;
      await until(
        () => statuses.length,
        (count) => count > atCut + 50,
        30_000,
      );
      // What happens meanwhile: a token is revoked, a name is added, and goes to the machine that is there.
      expect(await revoked.revoke(revokedToken)).toBe(200);
      await addLater();
      expect(await visit(left, { token: revokedToken })).toBe(401);
      expect(await visit(left, { hostname: LATER })).toBe(200);
      await cut.dispatcher.awaitRecord(/Redis is away/);
      await cut.instance.awaitRecord(/store lost/);

      cut.network.reconnect();
      await until(
        () => visit(cut, { token: good }),
        (status) => status === 200,
        RECOVERY_MS,
      );
      await until(
        () => visit(cut, { token: revokedToken }),
        (status) => status === 401,
        RECOVERY_MS,
      );
      await until(
        () => visit(cut, { hostname: LATER }),
        (status) => status === 200,
        RECOVERY_MS,
      );
      over.abort();
      await traffic;
      // But for the one that the lost machine may have been about to answer.
      expect(statuses.filter((status) => status !== 200).length).toBeLessThanOrEqual(1);
      expect(machines.flatMap(({ dispatcher, instance }) => [dispatcher.pid, instance.pid])).toEqual(pids);
    },
    TIMEOUT_MS,
  );
});
