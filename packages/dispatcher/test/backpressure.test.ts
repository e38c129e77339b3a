import { afterEach, expect, test } from "@jest/globals";
import { setTimeout as sleep } from "node:timers/promises";
import type net from "node:net";
import { until } from "@gatehouse/testbed/until";
import { heldBufferBytes } from "./support/held-memory.ts";
import { HELLO, openTunnel, type Tunnel } from "./support/tunnel.ts";

/** One buffer for every pending write of the test, so that what grows is what the dispatcher holds. */
const chunk = Buffer.alloc(256 * 1024);

let tunnel: Tunnel;
// A tunnel that a failed test left behind would keep the test runner from ending.
afterEach(() => tunnel.stop());

/** Writes until the socket takes no more for a while. */
async function pushUntilStalled(socket: net.Socket): Promise<void> {
  let lastSent = -1;
  let quietSince = performance.now();
  while (performance.now() - quietSince < 400) {
    while (socket.writableLength < chunk.length) socket.write(chunk);
    const sent = socket.bytesWritten - socket.writableLength;
    if (sent !== lastSent) quietSince = performance.now();
    lastSent = sent;
    await sleep(5);
  }
}

test.each(["tcp", "unix"] as const)(
  "row 26: 30 peers that stop reading stop their %s targets, within bounded memory",
  async (kind) => {
    tunnel = await openTunnel(kind);
    const pairs = [tunnel, ...(await Promise.all(Array.from({ length: 29 }, () => tunnel.another())))];
    const before = await heldBufferBytes();
    for (const { peer } of pairs) peer.pause();
    await Promise.all(pairs.map(({ far }) => pushUntilStalled(far)));
    expect((await heldBufferBytes()) - before).toBeLessThan(30 * 512 * 1024);
    expect(tunnel.dispatcher.listeners.connections.size).toBe(pairs.length);
    // A reader that wakes up gets everything.
    const written = tunnel.far.bytesWritten;
    let seen = 0;
    tunnel.peer.on("data", (data: Buffer) => (seen += data.length)).resume();
    await until(() => seen === written);
    for (const { peer, far } of pairs) {
      peer.destroy();
      far.end();
    }
    await tunnel.dispatcher.idle();
    expect(tunnel.dispatcher.buffers.leases).toBe(0);
  },
  60_000,
);

test.each(["tcp", "unix"] as const)(
  "row 26: a %s target that stops reading stops its peer, within bounded memory",
  async (kind) => {
    tunnel = await openTunnel(kind);
    tunnel.far.pause();
    const before = await heldBufferBytes();
    await pushUntilStalled(tunnel.peer);
    expect((await heldBufferBytes()) - before).toBeLessThan(2_000_000);
    const written = tunnel.peer.bytesWritten;
    let seen = HELLO.length;
    tunnel.far.on("data", (data: Buffer) => (seen += data.length)).resume();
    await until(() => seen === written);
  },
);
