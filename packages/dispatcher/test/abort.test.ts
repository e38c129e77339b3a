import { describe, expect, test } from "@jest/globals";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import net from "node:net";
import { abortTcp } from "../src/abort.ts";
import { until } from "@gatehouse/testbed/until";
import { closeOf } from "./support/raw-target.ts";
import { openTunnel } from "./support/tunnel.ts";

describe("row 25: an abort is passed on as an abort", () => {
  test("a peer's reset resets the connection to a TCP target", async () => {
    const tunnel = await openTunnel("tcp");
    const far = closeOf(tunnel.far);
    tunnel.peer.resetAndDestroy();
    await expect(far).resolves.toMatchObject({ how: "reset", code: "ECONNRESET" });
    await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({
      ended_by: "peer",
      message: expect.stringContaining("peer aborted in splice"),
    });
    await tunnel.stop();
  });

  test("a peer's reset closes both directions of a unix target at once", async () => {
    const tunnel = await openTunnel("unix");
    tunnel.peer.resetAndDestroy();
    await once(tunnel.far.resume(), "end");
    // Only a full close refuses what is written back; a half-close would take it.
    tunnel.far.write("still there?");
    const [error] = (await once(tunnel.far, "error")) as [NodeJS.ErrnoException];
    expect(error.code).toBe("EPIPE");
    await tunnel.stop();
  });

  test("a TCP target's reset resets the peer's connection", async () => {
    const tunnel = await openTunnel("tcp");
    const peer = closeOf(tunnel.peer);
    tunnel.far.resetAndDestroy();
    await expect(peer).resolves.toMatchObject({ how: "reset", code: "ECONNRESET" });
    await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({
      ended_by: "target",
      message: expect.stringContaining("target aborted in splice"),
    });
    await tunnel.stop();
  });

  test("a unix target that goes away with bytes unread (ECONNRESET) resets the peer's connection", async () => {
    const tunnel = await openTunnel("unix");
    const peer = closeOf(tunnel.peer);
    tunnel.far.pause();
    tunnel.peer.write(Buffer.alloc(400_000));
    await until(() => [...tunnel.dispatcher.listeners.connections].every(({ bytesIn }) => bytesIn > 200_000));
    tunnel.far.destroy();
    await expect(peer).resolves.toMatchObject({ how: "reset", code: "ECONNRESET" });
    await tunnel.stop();
  });

  test("a unix target that is gone when the peer writes (EPIPE) resets the peer's connection", async () => {
    const tunnel = await openTunnel("unix");
    tunnel.far.destroy();
    await once(tunnel.peer.resume(), "end");
    // A socket that has seen an end is not read any more, so the reset shows on the next write.
    await until(() => {
      if (!tunnel.peer.destroyed) tunnel.peer.write("anybody there?");
      return tunnel.peer.destroyed;
    });
    expect(["ECONNRESET", "EPIPE"]).toContain((tunnel.peer.errored as NodeJS.ErrnoException).code);
    await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({ ended_by: "target" });
    await tunnel.stop();
  });

  test("a target that answers, ends and closes is no abort: the peer reads all of it and an end", async () => {
    const tunnel = await openTunnel("unix");
    const peer = closeOf(tunnel.peer);
    tunnel.far.end(Buffer.alloc(500_000, 7));
    tunnel.far.destroySoon();
    const { bytes, how } = await peer;
    expect({ length: bytes.length, how }).toEqual({ length: 500_000, how: "closed" });
    await tunnel.stop();
  });
});

test("a reset while a FIN is on its way out loses no descriptor", async () => {
  // libuv refuses a reset during a shutdown, and Node then forgets the handle without closing it.
  const server = net.createServer({ allowHalfOpen: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const peer = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
  const [socket] = (await once(server, "connection")) as [net.Socket];
  peer.resume().on("error", () => undefined);
  socket.resume();
  const before = readdirSync("/proc/self/fd").length;
  const closed = once(socket, "close");
  socket.end();
  await Promise.resolve();
  expect({ ended: socket.writableEnded, finished: socket.writableFinished }).toEqual({
    ended: true,
    finished: false,
  });
  abortTcp(socket);
  await closed;
  peer.destroy();
  await until(() => readdirSync("/proc/self/fd").length <= before - 2);
  await new Promise((resolve) => server.close(resolve));
});
