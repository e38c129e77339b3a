/** Both tiers as processes: how they start, end and come back, with either kind of hop between them. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { startGatehouse, type Gatehouse } from "./support/gatehouse.ts";
import type { Peer } from "./support/peer.ts";
import { pinnedNodePeer } from "./support/peers.ts";

const TIMEOUT_MS = 60_000;
const OVER_UNIX = "over-unix.localhost";
const OVER_TCP = "over-tcp.localhost";

const peer: Peer = pinnedNodePeer();
let upstream: Server;
let gatehouse: Gatehouse;

beforeAll(async () => {
  upstream = createServer((request, response) => response.end(`hello ${String(request.url)}`));
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const upstreamUrl = `http://127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  gatehouse = await startGatehouse({
    hosts: [
      { hostname: OVER_UNIX, upstreamUrl },
      { hostname: OVER_TCP, upstreamUrl, target: "tcp" },
    ],
  });
}, TIMEOUT_MS);

afterAll(async () => {
  await gatehouse?.stop();
  upstream?.closeAllConnections();
  upstream?.close();
});

async function ask(hostname: string): Promise<string> {
  const { port, caPath } = gatehouse;
  const target = { hostname, address: "127.0.0.1", port, path: "/there", caPath } as const;
  const { status, body } = await peer.fetch(target, "http/1.1");
  return `${status} ${body}`;
}

describe.each([OVER_UNIX, OVER_TCP])("%s", (hostname) => {
  test("answers", async () => {
    expect(await ask(hostname)).toBe("200 hello /there");
  });

  test(
    "answers again after its instance was killed and started again",
    async () => {
      const instance = gatehouse.instance(hostname);
      const before = instance.pid;
      await instance.kill();
      await expect(ask(hostname)).rejects.toThrow(/alert number 80|internal error/i);
      await instance.start();
      expect(instance.pid).not.toBe(before);
      expect(await ask(hostname)).toBe("200 hello /there");
    },
    TIMEOUT_MS,
  );

  test(
    "its instance drains and exits 0 on TERM, with nothing on stderr",
    async () => {
      const instance = gatehouse.instance(hostname);
      expect(await instance.stop()).toBe(0);
      expect(instance.complaints).toBe("");
      await instance.start();
      expect(await ask(hostname)).toBe("200 hello /there");
    },
    TIMEOUT_MS,
  );
});

describe("the dispatcher", () => {
  test(
    "exits 0 on TERM, and comes back on the same port",
    async () => {
      expect(await gatehouse.dispatcher.stop()).toBe(0);
      expect(gatehouse.dispatcher.complaints).toBe("");
      await expect(ask(OVER_UNIX)).rejects.toThrow("ECONNREFUSED");
      await gatehouse.dispatcher.start();
      expect(await ask(OVER_UNIX)).toBe("200 hello /there");
    },
    TIMEOUT_MS,
  );

  test(
    "refuses bad options all at once, with exit status 78",
    async () => {
      await gatehouse.dispatcher.stop();
      const bad = { GATEHOUSE_HELLO_TIMEOUT_MS: "soon", GATEHOUSE_MAX_HELLO_BYTES: "1" };
      await expect(gatehouse.dispatcher.start(bad)).rejects.toThrow(
        /GATEHOUSE_HELLO_TIMEOUT_MS[^]*GATEHOUSE_MAX_HELLO_BYTES/,
      );
      expect(gatehouse.dispatcher.exitCode).toBe(78);
      await gatehouse.dispatcher.start({ GATEHOUSE_HELLO_TIMEOUT_MS: "", GATEHOUSE_MAX_HELLO_BYTES: "" });
    },
    TIMEOUT_MS,
  );
});
