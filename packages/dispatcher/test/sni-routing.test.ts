import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { isConnectionId } from "@gatehouse/shared/record-id";
import { networkInterfaces } from "node:os";
import { TestDispatcher } from "./support/dispatcher.ts";
import { until } from "@gatehouse/testbed/until";
import { greet, openTlsTargets, type TlsTarget, type TlsTargets } from "./support/tls-target.ts";

let targets: TlsTargets;
let one: TlsTarget;
let two: TlsTarget;
let plain: TlsTarget;
let dispatcher: TestDispatcher;
const hasIpv6 = Object.values(networkInterfaces()).some((list) =>
  list?.some(({ address }) => address === "::1"),
);

beforeAll(async () => {
  targets = await openTlsTargets();
  one = await targets.start("one.example");
  two = await targets.start("two.example", { unix: true });
  plain = await targets.start("foreign.example", { proxy: "off" });
  dispatcher = await TestDispatcher.start({
    listen: hasIpv6 ? ["127.0.0.1", "::", "::1"] : ["127.0.0.1"],
    routes: {
      "one.example": one.route,
      "two.example": two.route,
      "old.example": `${one.route.split(";")[0] ?? ""};proxy=v1`,
      "*": plain.route,
    },
  });
});

afterAll(async () => {
  await dispatcher.stop();
  await targets.stop();
});

test("each name reaches its own certificate, over TCP and over a unix socket, and the default takes the rest", async () => {
  for (const servername of ["one.example", "two.example", "foreign.example"]) {
    const { socket, line } = await greet({ port: dispatcher.port, servername, ca: targets.ca });
    expect(line).toBe(`this is ${servername}\n`);
    socket.destroy();
  }
});

test("PROXY v2 tells the peer's address, the server name and the connection id of the record", async () => {
  const { socket } = await greet({ port: dispatcher.port, servername: "two.example", ca: targets.ca });
  const header = two.headers.at(-1);
  expect(header).toMatchObject({
    addresses: {
      source: { ip: "127.0.0.1", port: socket.localPort },
      destination: { ip: "127.0.0.1", port: dispatcher.port },
    },
    authority: "two.example",
    hops: 1,
  });
  expect(isConnectionId(header?.uniqueId ?? "")).toBe(true);
  socket.destroy();
  const recordOf = () => dispatcher.records.all.find(({ conn }) => conn === header?.uniqueId);
  await until(() => recordOf() !== undefined);
  expect(recordOf()).toMatchObject({
    event: "connection_ended",
    level: "info",
    component: "dispatcher",
    hostname: "two.example",
    ip: "127.0.0.1",
    upstream: two.route.split(";")[0],
    phase: "splice",
    ended_by: "peer",
    duration_ms: expect.any(Number),
    bytes_in: expect.any(Number),
    bytes_out: expect.any(Number),
  });
});

test("PROXY v1 tells the address; the target of `proxy=off` gets the hello first", async () => {
  const { socket, line } = await greet({
    port: dispatcher.port,
    servername: "old.example",
    ca: targets.ca,
    checkServerIdentity: () => undefined,
  });
  expect(line).toBe("this is one.example\n");
  expect(one.headers.at(-1)).toEqual({
    addresses: {
      source: { ip: "127.0.0.1", port: socket.localPort },
      destination: { ip: "127.0.0.1", port: dispatcher.port },
    },
    hops: 0,
  });
  socket.destroy();
});

(hasIpv6 ? test : test.skip)(
  "an IPv6 peer is named as such; an IPv4 one on a dual-stack listener as IPv4",
  async () => {
    const six = await greet({
      host: "::1",
      port: dispatcher.ports[2] ?? 0,
      servername: "one.example",
      ca: targets.ca,
    });
    expect(one.headers.at(-1)?.addresses).toEqual({
      source: { ip: "::1", port: six.socket.localPort },
      destination: { ip: "::1", port: dispatcher.ports[2] },
    });
    six.socket.destroy();
    const mapped = await greet({ port: dispatcher.ports[1] ?? 0, servername: "one.example", ca: targets.ca });
    expect(one.headers.at(-1)?.addresses).toMatchObject({
      source: { ip: "127.0.0.1", port: mapped.socket.localPort },
      destination: { ip: "127.0.0.1" },
    });
    mapped.socket.destroy();
  },
);

test("row 39: bytes, hello sizes and outcomes are counted", async () => {
  const { socket } = await greet({ port: dispatcher.port, servername: "one.example", ca: targets.ca });
  const figures = () => ({
    in: dispatcher.metric("io", ["receive"]),
    out: dispatcher.metric("io", ["transmit"]),
    closed: dispatcher.metric("connections", ["ended", "peer_closed"]),
  });
  const before = figures();
  socket.end();
  await until(() => figures().closed > before.closed);
  expect(figures().in).toBeGreaterThan(before.in + 500);
  expect(figures().out).toBeGreaterThan(before.out + 500);
  const hellos = dispatcher.metric("hello.size");
  expect(hellos).toBeGreaterThan(0);
  expect(dispatcher.metric("hello.duration")).toBe(hellos);
  // Routes written in the test are found at once; a dial that was counted is one that was made.
  expect(dispatcher.metric("route.lookups", ["route", "memory"])).toBe(hellos);
  expect(dispatcher.metric("dial.duration", ["connected"])).toBe(hellos);
});
