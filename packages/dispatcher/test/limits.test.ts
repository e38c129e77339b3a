import { describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import { addressGroup } from "@gatehouse/shared/address-group";
import { connectionsAllowedByDescriptors } from "@gatehouse/shared/descriptors";
import { ConnectionLimits } from "../src/limits.ts";
import { until } from "@gatehouse/testbed/until";
import { closeOf, connectTo, readBytes } from "./support/raw-target.ts";
import { HELLO, openTunnel } from "./support/tunnel.ts";

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
      await until(() => tunnel.dispatcher.listeners.connections.size === 2);
      await tunnel.another();
      expect(tunnel.dispatcher.limits.total).toBe(3);
      await tunnel.stop();
      expect(tunnel.dispatcher.limits.total).toBe(0);
    },
  );

  test("a flood of shed connections makes one record a second, with their number", async () => {
    const tunnel = await openTunnel("unix", { maxConnections: 1 });
    const { dispatcher } = tunnel;
    const shed = Array.from({ length: 200 }, () =>
      connect(dispatcher.port, "127.0.0.1").on("error", () => undefined),
    );
    await until(() => dispatcher.metric("connections", ["refused", "too_many_connections"]) === 200);
    await until(() => dispatcher.records.all.length > 0);
    expect(dispatcher.records.all.length).toBeLessThanOrEqual(2);
    for (const socket of shed) socket.destroy();
    await tunnel.stop();
  });

  test.each([
    ["in total", { maxConnections: 3 }],
    ["per address", { maxConnectionsPerAddress: 3 }],
  ])(
    "at the limit %s a peer that only connects makes room, the one that has waited longest first",
    async (_title, limits) => {
      const tunnel = await openTunnel("unix", limits);
      const first = closeOf(await connectTo(tunnel.dispatcher.port));
      await until(() => tunnel.dispatcher.limits.total === 2);
      const second = closeOf(await connectTo(tunnel.dispatcher.port));
      await until(() => tunnel.dispatcher.limits.total === 3);
      await tunnel.another();
      await expect(first).resolves.toMatchObject({ how: "reset" });
      await tunnel.another();
      await expect(second).resolves.toMatchObject({ how: "reset" });
      expect(tunnel.dispatcher.metric("connections", ["refused", "too_many_connections"])).toBe(2);
      const record = await tunnel.dispatcher.records.one();
      expect([record.reason, record.level, record.ip]).toEqual(["too_many_connections", "warn", "127.0.0.1"]);
      // Who has sent its hello makes no room.
      await expect(closeOf(connect(tunnel.dispatcher.port, "127.0.0.1"))).resolves.toMatchObject({
        how: "reset",
      });
      expect(tunnel.dispatcher.limits.total).toBe(3);
      await tunnel.stop();
      expect(tunnel.dispatcher.limits.total).toBe(0);
    },
  );

  test("half a hello is none: its sender makes room", async () => {
    const tunnel = await openTunnel("unix", { maxConnections: 2 });
    const slow = await connectTo(tunnel.dispatcher.port);
    const closed = closeOf(slow);
    slow.write(HELLO.subarray(0, 20));
    await until(() => tunnel.dispatcher.limits.total === 2);
    // A round trip of another connection: by then the half is read.
    tunnel.peer.write("x");
    await readBytes(tunnel.far, 1);
    await tunnel.another();
    await expect(closed).resolves.toMatchObject({ how: "reset" });
    await tunnel.stop();
  });

  test("new connections of one address over its rate are reset on accept; another address is not held to it", async () => {
    const tunnel = await openTunnel("unix", {
      maxConnectionsPerAddress: 4,
      connectionsPerSecondPerAddress: 1,
    });
    const { dispatcher } = tunnel;
    for (let count = 0; count < 3; count += 1) (await connectTo(dispatcher.port)).destroy();
    await expect(closeOf(connect(dispatcher.port, "127.0.0.1"))).resolves.toMatchObject({ how: "reset" });
    await until(() => dispatcher.metric("connections", ["refused", "connection_rate"]) > 0);
    await until(() => dispatcher.records.all.some(({ reason }) => reason === "connection_rate"));
    const other = connect({ port: dispatcher.port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    other.write(HELLO);
    await tunnel.target.socket(1);
    other.destroy();
    await tunnel.stop();
  });
});

test("IPv6 peers count by /64, IPv4 peers by address", () => {
  expect(addressGroup("2001:db8:0:1::5")).toBe("2001:db8:0:1");
  expect(addressGroup("2001:db8:0:1:aaaa:bbbb:cccc:dddd")).toBe("2001:db8:0:1");
  expect(addressGroup("2001:DB8::5")).toBe("2001:db8:0:0");
  expect(addressGroup("::1")).toBe("0:0:0:0");
  expect(addressGroup("192.0.2.7")).toBe("192.0.2.7");
  const limits = new ConnectionLimits({ max: 9, maxPerAddress: 1, perSecondPerAddress: 9 });
  const enter = (ip: string) => limits.enterAddress(ip, 0);
  expect([enter("2001:db8::1"), enter("2001:db8::2")]).toEqual([undefined, "too_many_connections"]);
  limits.leaveAddress("2001:db8::1");
  expect(enter("2001:db8::2")).toBeUndefined();
});

test("the default total leaves two descriptors a connection, and some in reserve", () => {
  const allowed = connectionsAllowedByDescriptors();
  expect(allowed).toBeGreaterThan(100);
  expect(Number.isInteger(allowed)).toBe(true);
});
