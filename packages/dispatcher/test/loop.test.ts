import { expect, test } from "@jest/globals";
import { networkInterfaces } from "node:os";
import { OwnAddresses } from "../src/own-addresses.ts";
import { TestDispatcher, type FixedRoutes } from "./support/dispatcher.ts";
import { closeOf, connectTo, startRawTarget } from "./support/raw-target.ts";
import { HELLO } from "./support/tunnel.ts";

async function refusedAt(dispatcher: TestDispatcher): Promise<number | undefined> {
  const peer = await connectTo(dispatcher.port);
  const end = closeOf(peer);
  peer.write(HELLO);
  return (await end).bytes[6];
}

test.each([
  ["an address listener", "127.0.0.1", (port: number) => `127.0.0.1:${port}`],
  ["a wildcard listener, by loopback", "0.0.0.0", (port: number) => `127.0.0.1:${port}`],
  ["a wildcard listener, by another loopback address", "0.0.0.0", (port: number) => `127.9.9.9:${port}`],
  ["a listener, by a name that resolves to it", "0.0.0.0", (port: number) => `localhost:${port}`],
  ["a listener, by the unspecified address", "0.0.0.0", (port: number) => `0.0.0.0:${port}`],
])("row 34: a route to %s of ours is refused with alert 80", async (_title, host, target) => {
  const routes: FixedRoutes = {};
  const dispatcher = await TestDispatcher.start({ routes, listen: [host] });
  routes["a.example"] = target(dispatcher.port);
  const startedAt = performance.now();
  expect(await refusedAt(dispatcher)).toBe(80);
  expect(performance.now() - startedAt).toBeLessThan(1500);
  await expect(dispatcher.records.one()).resolves.toMatchObject({ reason: "loop", phase: "dial" });
  expect(dispatcher.metric("connections.accepted")).toBe(1);
  expect(dispatcher.pool.failures).toEqual([]);
  await dispatcher.stop();
});

test("row 34: another target of the same route still serves", async () => {
  const target = await startRawTarget("tcp");
  const routes: FixedRoutes = {};
  const dispatcher = await TestDispatcher.start({ routes });
  routes["a.example"] = `${dispatcher.port},${target.route}`;
  const peer = await connectTo(dispatcher.port);
  peer.write(HELLO);
  await target.socket();
  peer.destroy();
  await target.stop();
  await dispatcher.stop();
});

test("row 34: a wildcard listener owns every address of this machine, and no other", () => {
  const own = new OwnAddresses();
  own.add({ address: "::", family: "IPv6", port: 443 });
  own.add({ address: "192.0.2.1", family: "IPv4", port: 8443 });
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  expect(addresses.every(({ address }) => own.has(address, 443))).toBe(true);
  expect(own.has("::ffff:127.0.0.1", 443)).toBe(true);
  expect(own.has("192.0.2.99", 443)).toBe(false);
  expect(own.has("127.0.0.1", 444)).toBe(false);
  expect([own.has("192.0.2.1", 8443), own.has("192.0.2.1", 8444), own.has("127.0.0.1", 8443)]).toEqual([
    true,
    false,
    false,
  ]);
});
