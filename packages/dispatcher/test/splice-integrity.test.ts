import { expect, test } from "@jest/globals";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import type net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { openTunnel } from "./support/tunnel.ts";

const BLOCK = randomBytes(1024 * 1024);

/** Sends that many octets, no two stretches alike, in chunks of uneven size, then ends; returns their SHA-1. */
async function send(socket: net.Socket, octets: number): Promise<string> {
  const hash = createHash("sha1");
  for (let sent = 0, n = 0; sent < octets; n++) {
    const start = (n * 7919) % (BLOCK.length / 2);
    const chunk = BLOCK.subarray(start, start + Math.min(octets - sent, 1 + ((n * 104_729) % 300_000)));
    hash.update(chunk);
    sent += chunk.length;
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  socket.end();
  return hash.digest("hex");
}

async function receive(socket: net.Socket): Promise<string> {
  const hash = createHash("sha1");
  for await (const chunk of socket) hash.update(chunk as Buffer);
  return hash.digest("hex");
}

test.each(["tcp", "unix"] as const)(
  "200 MB each way at once arrive bit for bit through a %s target",
  async (kind) => {
    const tunnel = await openTunnel(kind);
    const octets = 200_000_000;
    const [up, down, upSeen, downSeen] = await Promise.all([
      send(tunnel.peer, octets),
      send(tunnel.far, octets),
      receive(tunnel.far),
      receive(tunnel.peer),
    ]);
    expect([upSeen, downSeen]).toEqual([up, down]);
    await tunnel.dispatcher.idle();
    const record = await tunnel.dispatcher.records.one();
    expect(record).toMatchObject({ bytes_out: octets, event: "connection_ended", phase: "splice" });
    expect(record.bytes_in).toBeGreaterThan(octets);
    expect(tunnel.dispatcher.buffers.leases).toBe(0);
    await tunnel.stop();
  },
  60_000,
);

test.each([
  { kind: "tcp", maxLeases: 0 },
  { kind: "unix", maxLeases: 0 },
  { kind: "unix", maxLeases: 64 },
] as const)(
  "buffers mix no connections whose peers stall: $kind targets, $maxLeases leases",
  async ({ kind, maxLeases }) => {
    const tunnel = await openTunnel(kind, { maxLeases });
    const pairs = [tunnel, ...(await Promise.all(Array.from({ length: 7 }, () => tunnel.another())))];
    for (const { peer } of pairs) peer.pause();
    const sent = Promise.all(pairs.map(({ far }) => send(far, 8_000_000)));
    // Every connection now has a write pending while the others read on: the moment a buffer could be filled twice.
    await stalled(pairs.map(({ far }) => far));
    const seen = await Promise.all(
      pairs.map(({ peer }) => {
        peer.end();
        return receive(peer);
      }),
    );
    expect(seen).toEqual(await sent);
    await tunnel.dispatcher.idle();
    expect(tunnel.dispatcher.buffers.leases).toBe(0);
    await tunnel.stop();
  },
  60_000,
);

/** Waits until none of the sockets has moved a byte for a while. */
async function stalled(sockets: readonly net.Socket[]): Promise<void> {
  let last = -1;
  for (let quietSince = performance.now(); performance.now() - quietSince < 200; await sleep(10)) {
    const moved = sockets.reduce((sum, socket) => sum + socket.bytesWritten - socket.writableLength, 0);
    if (moved !== last) quietSince = performance.now();
    last = moved;
  }
}
