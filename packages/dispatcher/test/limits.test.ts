import { describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import { addressGroup, connectionsAllowedByDescriptors, ConnectionLimits } from "../src/limits.ts";
import { TestDispatcher } from "./support/dispatcher.ts";
import { eventually } from "./support/eventually.ts";
import { closeOf, connectTo } from "./support/raw-target.ts";
import { openTunnel } from "./support/tunnel.ts";

describe("row 23", () => {
  test.each([
    ["in total", { maxConnections: 3 }],
    ["per address", { maxConnectionsPerAddress: 3 }],
  ])(
    "connections over the limit %s are reset on accept, and taken again when one has ended",
    async (_title, limits) => {
      const tunnel = await openTunnel("unix", limits);
      await Promise.all([tunnel.another(), tunnel.another()]);
      await expect(closeOf(connect(tunnel.dispatcher.port, "127.0.0.1"))).resolves.toMatchObject({
        how: "reset",
      });
      await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({
        level: "warn",
        event: "connection_refused",
        reason: "too_many_connections",
        ip: "127.0.0.1",
      });
      tunnel.peer.resetAndDestroy();
      await eventually(() => tunnel.dispatcher.listeners.connections.size === 2);
      await tunnel.another();
      expect(tunnel.dispatcher.limits.total).toBe(3);
      await tunnel.stop();
      expect(tunnel.dispatcher.limits.total).toBe(0);
    },
  );

  test("a flood of shed connections makes one record a second, with their number", async () => {
    const dispatcher = await TestDispatcher.start({ routes: {}, maxConnections: 1 });
    const holder = await connectTo(dispatcher.port);
    await eventually(() => dispatcher.listeners.connections.size === 1);
    const shed = Array.from({ length: 200 }, () =>
      connect(dispatcher.port, "127.0.0.1").on("error", () => undefined),
    );
    await eventually(() => dispatcher.metric("connections", ["refused", "too_many_connections"]) === 200);
    await eventually(() => dispatcher.records.all.length > 0);
    expect(dispatcher.records.all.length).toBeLessThanOrEqual(2);
    for (const socket of [holder, ...shed]) socket.destroy();
    await dispatcher.stop();
  });
});

test("IPv6 peers count by /64, IPv4 peers by address", () => {
  expect(addressGroup("2001:db8:0:1::5")).toBe("2001:db8:0:1");
  expect(addressGroup("2001:db8:0:1:aaaa:bbbb:cccc:dddd")).toBe("2001:db8:0:1");
  expect(addressGroup("2001:DB8::5")).toBe("2001:db8:0:0");
  expect(addressGroup("::1")).toBe("0:0:0:0");
  expect(addressGroup("192.0.2.7")).toBe("192.0.2.7");
  const limits = new ConnectionLimits({ max: 9, maxPerAddress: 1 });
  expect([limits.enterAddress("2001:db8::1"), limits.enterAddress("2001:db8::2")]).toEqual([true, false]);
  limits.leaveAddress("2001:db8::1");
  expect(limits.enterAddress("2001:db8::2")).toBe(true);
});

test("the default total leaves two descriptors a connection, and some in reserve", () => {
  const allowed = connectionsAllowedByDescriptors();
  expect(allowed).toBeGreaterThan(100);
  expect(Number.isInteger(allowed)).toBe(true);
});
