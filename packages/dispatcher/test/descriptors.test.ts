import { expect, test } from "@jest/globals";
import { readdirSync } from "node:fs";
import type net from "node:net";
import { TestDispatcher } from "./support/dispatcher.ts";
import { until } from "@gatehouse/testbed/until";
import { hello, serverName } from "./support/hello-bytes.ts";
import { connectTo, startRawTarget, type TargetKind } from "./support/raw-target.ts";
import { HELLO } from "./support/tunnel.ts";

type Ending = (peer: net.Socket, far: net.Socket) => void;

/** Every way in which two sides can leave, the awkward ones at once: both in one turn of the loop. */
const endings: readonly Ending[] = [
  (peer) => peer.destroy(),
  (peer) => peer.resetAndDestroy(),
  (_peer, far) => far.destroy(),
  (peer, far) => {
    peer.end();
    far.end();
  },
  (peer, far) => {
    far.end("last");
    peer.resetAndDestroy();
  },
  (peer, far) => {
    peer.end("last");
    far.destroy();
  },
  (peer, far) => {
    far.write(Buffer.alloc(500_000));
    peer.destroy();
  },
  (peer, far) => {
    peer.write(Buffer.alloc(500_000));
    far.destroy();
  },
];

test.each(["tcp", "unix"] as const)(
  "no ending leaves a descriptor, a lease or a count behind, %s target",
  async (kind: TargetKind) => {
    const target = await startRawTarget(kind, (socket) => void socket.resume().on("end", () => socket.end()));
    const dispatcher = await TestDispatcher.start({
      routes: { "a.example": target.route, "down.example": "unix:/nonexistent/t.sock" },
      dialTimeoutMs: 100,
    });
    const descriptors = (): number => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    let opened = 0;
    for (let cycle = 0; cycle < 10; cycle++) {
      for (const end of endings) {
        const peer = await connectTo(dispatcher.port);
        peer.resume().on("end", () => peer.end());
        peer.write(HELLO);
        end(peer, await target.socket(opened++));
      }
      for (const name of ["nobody.example", "down.example"]) {
        const peer = await connectTo(dispatcher.port);
        peer.resume().on("end", () => peer.end());
        peer.write(hello({ extensions: [serverName(name)] }));
      }
    }
    await dispatcher.idle();
    await until(() => descriptors() <= before);
    expect({
      leases: dispatcher.buffers.leases,
      counted: dispatcher.limits.total,
      open: dispatcher.pool.open,
    }).toEqual({
      leases: 0,
      counted: 0,
      open: 0,
    });
    expect(dispatcher.records.all).toHaveLength(10 * (endings.length + 2));
    expect(dispatcher.records.all.filter(({ level }) => level === "error")).toEqual([]);
    await target.stop();
    await dispatcher.stop();
  },
);
