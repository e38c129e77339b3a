import { describe, expect, test } from "@jest/globals";
import { until } from "@gatehouse/testbed/until";
import { closeOf, connectTo, readBytes } from "./support/raw-target.ts";
import { HELLO, openTunnel } from "./support/tunnel.ts";

describe.each(["tcp", "unix"] as const)("row 24, %s target", (kind) => {
  test("a peer that ends first still gets everything the target sends afterwards", async () => {
    const tunnel = await openTunnel(kind);
    const answer = closeOf(tunnel.peer);
    tunnel.peer.end("last words");
    const farEnd = await readBytes(tunnel.far, 1000);
    expect(farEnd.toString()).toBe("last words");
    expect(tunnel.far.readableEnded).toBe(true);
    tunnel.far.write(Buffer.alloc(300_000, 1));
    tunnel.far.end("done");
    const { bytes, how } = await answer;
    expect({ length: bytes.length, how }).toEqual({ length: 300_004, how: "closed" });
    await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({
      level: "info",
      ended_by: "peer",
      phase: "splice",
      bytes_in: HELLO.length + 10,
      bytes_out: 300_004,
      message: expect.stringMatching(
        /^connection ended: peer closed in splice, \d+\.\d s, in \d+ B, out 300,004 B$/,
      ),
    });
    await tunnel.stop();
  });

  test("a target that ends first still gets everything the peer sends afterwards", async () => {
    const tunnel = await openTunnel(kind);
    tunnel.far.end("bye");
    const seen = await readBytes(tunnel.peer, 1000);
    expect(seen.toString()).toBe("bye");
    tunnel.peer.end(Buffer.alloc(300_000, 2));
    expect(await readBytes(tunnel.far, 1_000_000)).toHaveLength(300_000);
    await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({
      ended_by: "target",
      phase: "splice",
    });
    await tunnel.stop();
  });

  test("a direction that stays open without a byte is aborted after the half-close timeout", async () => {
    const tunnel = await openTunnel(kind, { halfCloseTimeoutMs: 300 });
    const end = closeOf(tunnel.peer);
    tunnel.far.write("x");
    tunnel.peer.end();
    await expect(end).resolves.toMatchObject({ how: "reset", code: "ECONNRESET" });
    await until(() => tunnel.far.destroyed || tunnel.far.readableEnded);
    await expect(tunnel.dispatcher.records.one()).resolves.toMatchObject({
      ended_by: "dispatcher",
      reason: "half_close_timeout",
    });
    await tunnel.stop();
  });
});

test("row 24: a FIN right behind the hello reaches the target behind the hello", async () => {
  const tunnel = await openTunnel("tcp");
  const peer = await connectTo(tunnel.dispatcher.port);
  peer.end(HELLO);
  const far = await tunnel.target.socket(1);
  expect((await readBytes(far, 10_000)).equals(HELLO)).toBe(true);
  expect(far.readableEnded).toBe(true);
  far.end("answer");
  expect((await closeOf(peer)).bytes.toString()).toBe("answer");
  await tunnel.stop();
});
