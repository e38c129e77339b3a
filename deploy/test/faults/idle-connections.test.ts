/** Thousands of connections that do nothing: one dispatcher holds them, serves others meanwhile, and lets go of all. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { startGatehouse, type Gatehouse } from "../support/gatehouse.ts";
import { exchange } from "../support/https-peer.ts";
import { processSize } from "../support/process-size.ts";
import { until } from "@gatehouse/testbed/until";
import { startIdleTarget, type IdleTarget } from "../support/idle-target.ts";
import { UpstreamProcess } from "../support/upstream-process.ts";

/** One process here may hold 20,000 descriptors; a proxied connection takes two. */
const CONNECTIONS = 8000;
const TIMEOUT_MS = 180_000;

let upstream: UpstreamProcess;
let target: IdleTarget;
let gatehouse: Gatehouse;

beforeAll(async () => {
  upstream = await UpstreamProcess.start();
  target = await startIdleTarget();
  gatehouse = await startGatehouse({
    hosts: [{ hostname: "served.localhost", upstreamUrl: upstream.url }],
    dispatcherEnv: { GATEHOUSE_MAX_CONNECTIONS_PER_ADDRESS: "20000" },
  });
  await gatehouse.store.set("route:idle.localhost", `${target.route};proxy=off`);
}, TIMEOUT_MS);

afterAll(async () => {
  await gatehouse?.stop();
  await target?.kill();
  await upstream?.kill();
});

test(
  `${CONNECTIONS} idle connections cost memory in proportion, harm nobody, and leave nothing behind`,
  async () => {
    const { dispatcher, port } = gatehouse;
    const before = processSize(dispatcher.pid);
    const peers: Socket[] = [];
    for (let i = 0; i < CONNECTIONS; i += 200) {
      const batch = Array.from({ length: 200 }, () => {
        const peer = connect({ host: "127.0.0.1", port });
        peer.write(target.hello);
        return peer;
      });
      // The target answers each connection's hello with one octet: it was dialled and spliced.
      await Promise.all(batch.map((peer) => once(peer, "data")));
      peers.push(...batch);
    }
    const held = processSize(dispatcher.pid);
    expect(held.descriptors - before.descriptors).toBe(2 * CONNECTIONS);
    expect((held.residentBytes - before.residentBytes) / CONNECTIONS).toBeLessThan(32 * 1024);
    const served = await exchange(gatehouse, { hostname: "served.localhost", path: "/hello" });
    expect(served.status).toBe(200);
    for (const peer of peers) peer.destroy();
    await until(
      () => processSize(dispatcher.pid).descriptors,
      (descriptors) => descriptors <= before.descriptors,
    );
  },
  TIMEOUT_MS,
);
