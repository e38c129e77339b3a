import { expect, test } from "@jest/globals";
import { once } from "node:events";
import { connect } from "node:net";
import { closeOf, connectTo, readBytes } from "./support/raw-target.ts";
import { HELLO, openTunnel } from "./support/tunnel.ts";

test("row 28: a draining dispatcher accepts nothing, and its connections go on until they end", async () => {
  const tunnel = await openTunnel("unix");
  const { listeners, port } = tunnel.dispatcher;
  listeners.close();
  const drained = listeners.drained(30_000);
  const [refused] = (await once(connect(port, "127.0.0.1"), "error")) as [NodeJS.ErrnoException];
  expect(refused.code).toBe("ECONNREFUSED");
  tunnel.far.write("still served");
  expect((await readBytes(tunnel.peer, 12)).toString()).toBe("still served");
  tunnel.far.end();
  tunnel.peer.end();
  await drained;
  expect(listeners.connections.size).toBe(0);
  await tunnel.stop();
});

test("row 28: what is left at the drain deadline is aborted, in every phase", async () => {
  const tunnel = await openTunnel("tcp");
  const inHello = await connectTo(tunnel.dispatcher.port);
  inHello.write(HELLO.subarray(0, 10));
  const ends = [closeOf(tunnel.peer), closeOf(tunnel.far), closeOf(inHello)];
  while (tunnel.dispatcher.listeners.connections.size < 2) await new Promise(setImmediate);
  tunnel.dispatcher.listeners.close();
  await tunnel.dispatcher.listeners.drained(200);
  for (const end of ends) await expect(end).resolves.toMatchObject({ how: "reset", code: "ECONNRESET" });
  const messages = new Set(tunnel.dispatcher.records.all.map(({ message }) => message?.split(",")[0]));
  expect(messages).toEqual(
    new Set(["connection ended: drain deadline in hello", "connection ended: drain deadline in splice"]),
  );
  expect(tunnel.dispatcher.records.all[0]).toMatchObject({
    reason: "drain_deadline",
    ended_by: "dispatcher",
  });
  await tunnel.stop();
});
